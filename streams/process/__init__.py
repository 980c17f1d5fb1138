"""What every process has: files for its owner alone, readiness, waiting, garbage collection."""
