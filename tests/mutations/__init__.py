"""Edits of generated projects: does every change of meaning make exactly the right assets stale?"""
