"""The planner and the runner against a naive reference, over random histories of a project."""
