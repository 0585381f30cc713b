"""Cascaded refinement networks (Chen and Koltun, ICCV 2017): the network and what its losses compare."""
