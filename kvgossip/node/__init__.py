"""One node without a world: the sans-I/O replica."""
