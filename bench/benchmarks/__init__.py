"""How fast it is: the networks against the released order of operations, the steps, the loader, the scores."""
