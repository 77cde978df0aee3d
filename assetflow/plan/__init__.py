"""Lineage as a value, the selection language, and the only decider of what is stale and why. Pure: no I/O, no clock."""
