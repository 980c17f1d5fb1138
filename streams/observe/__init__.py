"""What an operator sees of a worker: metrics, health, logs."""
