"""A seeded simulation of a whole meter in one thread: crashes between any two steps and inside them.

The fold, the snapshot and the replay are the product's; Kafka is a few lists. What was committed is compared with
`replay`, byte for byte, and with the independent recount.
"""
