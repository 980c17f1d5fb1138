"""The Faust extension points that carry exactly-once: read `owner.py` first, it states the order and obeys it.

consumer.py  hands the agent whole chunks with the positions that they cover
owner.py     one partition: a queue of steps, each one transaction
writer.py    the partition's transactional producer
recovery.py  state and dedupe index read back, the log checked
seen.py      the dedupe index on disk
table.py     the daily totals as a windowed Faust table
"""
