"""A walk over every minute around the changes of clocks, against which ticks and windows are compared."""
