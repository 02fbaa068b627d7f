"""What methods of every kind stand on: hooks, networks as functions, the optimizer's metric."""
