"""The meter's domain: pure functions from completion records to priced jobs and daily totals.

Nothing in here reads a clock, the environment, the network or a log. Time comes in as an argument.
"""

__version__ = "0.1.0"
