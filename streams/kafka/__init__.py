"""Kafka from outside the worker's hot path: clients, TLS, topics and rights, what the library does not speak."""
