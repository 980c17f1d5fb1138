"""The Faust extension points that carry exactly-once.

`agent.py` shows the way of a completion from end to end; then read `owner.py`, which states the order, and obeys it.

agent.py       the agent and its windowed table: read this first
assembly.py    the parts of a worker's engine, and who is handed what

clients.py     the two consumers: a member of the group, and a reader that covers positions
consumer.py    Faust's consumer around them, which hands the agent whole chunks
readings.py    which inputs are read, from where, for which owner
assignment.py  what the group has given to this worker; assignor.py and sharing.py: who gets what
owners.py      opens the partitions assigned, and lets go of those that are lost

opening.py     a partition is opened: hanging.py, recovery.py, torn.py; its index: index.py, disk_index.py, slots.py
owner.py       an open partition: its turns, each at most one step
queues.py      what waits for a step; turns.py: when the next turn begins; intake.py: which records it may fold
settling.py    what is due, in slices; due.py: when it may be done, and how much of it
steps.py       a step is begun, and committed; writer.py: the partition's transactional producer
table.py       the daily totals as a windowed Faust table

health.py      what a worker says of itself; guards.py and watch.py: what is watched beside the steps
standby.py     indexes that are kept ready for the partitions of others
inputs.py, limits.py, clocks.py   what several of them share
"""
