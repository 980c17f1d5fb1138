"""The real command line and real workers on real Kafka. `running.py` is how a test runs a meter."""
