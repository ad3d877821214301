"""``kvgossip demo``: a local cluster on real files, cut in two and healed, checked value by value."""
