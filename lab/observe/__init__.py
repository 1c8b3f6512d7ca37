"""Observers: who answers for an address, is a service reachable, what passes on the wire.

Each observer is a helper process inside a host's namespace that prints JSON lines with ``t``, the
machine's monotonic clock in seconds, which is the same for every namespace.  `report` turns the
lines into figures; it is pure and needs no lab.
"""
