"""The command line: reads arguments, asks the project, draws the answer."""
