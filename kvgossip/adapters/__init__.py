"""Nodes in other worlds: each module speaks the protocol of a foreign test harness around a ``Replica``."""
