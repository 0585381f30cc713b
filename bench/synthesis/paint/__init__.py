"""A page on this machine to draw label maps and see what a generator makes of them."""
