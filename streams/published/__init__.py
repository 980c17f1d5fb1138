"""What the meter put out, read for people."""
