"""Values: ids, stamps, dots, clocks, entries and their merges. Frozen, totally ordered, no clock, no I/O."""
