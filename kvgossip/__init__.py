"""A leaderless key-value store in which every node answers alone and all nodes converge."""

__version__ = "0.1.0"
