"""What the official CloudEvents SDKs send.

Python's runs in the tests. Those of Java, Go and JavaScript were run once, by the programs in the folders here, and
what they sent was written down: `java.jsonl`, `go.jsonl`, `javascript.jsonl`, one message a line.
"""
