"""What the meter is measured against: each a program of its own that reads the same input topic."""
