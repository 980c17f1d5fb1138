"""A second meter, written to be obviously right and nothing else.

It reads the raw input records and the order of folding from the log, applies the rules again with `json`,
`decimal` and plain dicts, and compares its result with what was published. It shares no code with `meter` or
`streams`, so a mistake in a rule there is not repeated here: `test_independence.py` holds that.

The way through it: `log.py` (Kafka -> records), `placement.py` (whose partition), `rules.py` (one record), `prices.py`
and `periods.py` (what a minute costs, and when), `billing.py` (bills), `accounts.py` (what is paid and owed),
`commands.py` (what operators may do), `count.py` (one partition), `compare.py` and `compare_money.py` (differences in
words), `recount.py` (the whole log).
"""
