"""Benchmarks on real processes: wall clock, never simulated time. ``python -m bench NAME``."""
