"""The steps by which the tables grew, oldest first; `streams.store.migrate` runs those that a store lacks."""
