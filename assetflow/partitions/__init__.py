"""Partitions as integers: definitions, sets and mappings. Pure values; no files, no clock, no dataframes."""
