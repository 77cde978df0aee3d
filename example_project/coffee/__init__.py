"""The assets of the coffee shop, one module for each group."""
