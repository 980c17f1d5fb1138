"""Completions on their way in: submitted, and refused ones sent once more."""
