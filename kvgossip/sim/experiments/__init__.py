"""Experiments at scale: many seeds of one question, summed up as tables, bands and plots."""
