"""Logs that were written by a meter once and are kept: whatever becomes of the code, they replay byte for byte.

`logs/NAME.jsonl.xz` holds a whole meter, a record a line: `[topic, partition, offset, timestamp in ms, key, value,
headers]`, texts in UTF-8 with surrogate escapes for other bytes. `python -m tests.golden.record` writes new ones.
"""
