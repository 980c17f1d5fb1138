"""Chaos on real Kafka: workers are killed and frozen and the broker restarts while awkward traffic comes in.

The way through it: `traffic.py` (what is sent), `jobs.py` (what is in it), `produce.py` (how it is sent),
`plan.py` (how much of everything), `workers.py` (who dies), `watch.py` (what the log says meanwhile), `runner.py`
(the run), `verdict.py` (was it right, and did it prove anything).

`days.py` and `days_runner.py` are the same with settlement: simulated days of customers, billed under kills.

On three brokers: `cluster_plan.py` (waves of blows), `blows.py` (each kind of fault), `clients.py` (who sends, and what
they were told), `reader.py` (who reads, and what must hold at each poll), `cluster_runner.py`, `cluster_verdict.py`.
"""
