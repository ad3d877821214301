"""One class a promise of the design, named after it, judging a run from the outside."""
