"""SIMS (Qi et al. 2018), semi-parametric image synthesis: its three networks and the numerics around them.

Re-implemented from the paper and from facts about its released code (facts, section 5); what the facts leave open is
marked "reconstruction" where it is decided. Stages, files and commands are in ``bench/sims``.
"""
