"""What the embedded broker says when it cannot run."""

from streams.errors import MeterError


class BrokerError(MeterError):
    """One clear line for the user: what is wrong and, where there is one, the way out."""
