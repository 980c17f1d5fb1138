"""Proof: what was published, recomputed from the log by `meter.replay` and compared byte for byte.

differences.py  what differs, in words
log.py          one partition's topics, read from their start
partition.py    a whole partition replayed
rerouted.py     what was forwarded between partitions
whole.py        all of it: `meter verify`
bill.py         one bill from the log alone: `meter verify BILL_ID`
reconcile.py    what came in, what was priced, billed and paid, added up: `meter reconcile`
"""
