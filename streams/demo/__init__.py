"""`meter demo`: a meter on this machine, in front of the viewer. It keeps nothing and touches no configured Kafka.

traffic.py  the guide's example and a day of completions from a seed, with what real producers get wrong
stage.py    Kafka, two workers, and a look at how far they are
money.py    the days after: bills, arrears, and one bill proved
play.py     what happens, in order
"""

from streams.demo.play import run

__all__ = ["run"]
