"""Membership alone, of up to a thousand nodes, in simulated time."""
