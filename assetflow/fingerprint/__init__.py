"""What a function means: its canonical syntax tree and the closure of project code and constants that it reaches."""
