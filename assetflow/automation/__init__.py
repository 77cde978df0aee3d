"""Jobs over time: which ticks are due, what becomes of each, and the daemon that waits for them."""
