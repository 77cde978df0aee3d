"""Fault injection: kill, fail, lose power, flip bits, contend, and have an independent checker look at what is left."""
