"""What every process has: files for its owner alone, readiness, waiting, trying again, garbage collection."""
