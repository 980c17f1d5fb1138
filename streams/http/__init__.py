"""The HTTP API: completions in by way of Kafka, figures out of the read model, commands with their answers.

A request passes the limits and headers of `app`, says who it is from (`access`), and is then one small module's:
`ingest`, `commands`, or one of the reads. `kafka` keeps the connection to the log. Nothing here computes a figure.
"""
