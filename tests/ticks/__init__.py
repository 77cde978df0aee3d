"""A daemon over many virtual days: killed at every step, started twice, its clock set back and forth."""
