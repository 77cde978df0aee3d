"""Carrying out a plan: executors, one step, and the one loop that owns the order of things."""
