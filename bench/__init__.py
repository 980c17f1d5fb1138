"""`python -m bench`: how fast, how soon, how quickly back and in how much memory the meter does its work."""
