"""Rows at rest and the Merkle tree over them. Knows no messages and merges nothing."""
