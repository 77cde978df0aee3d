"""The vocabulary: keys, declarations, specs and records. Frozen values; no files, no clock, no dataframes."""
