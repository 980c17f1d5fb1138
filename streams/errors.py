"""Errors that a user sees as one clear line, and the exit codes that supervisors can tell apart."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1  # a command's own "no": differences found, a record refused
    WRONG_SETTING = 2
    REFUSES = 3  # topics, state or log do not fit: starting would put money at risk
    FENCED = 4  # another worker owns the partition now
    BROKER_LOST = 5
    STEP_FAILED = 6
    NO_ROOM = 7  # a disk is full


#: What a shell says of a program that Ctrl-C has ended.
INTERRUPTED = 130


class MeterError(Exception):
    """Something the user can act on: the message is one clear line, the code is the process's exit code."""

    code: int = Exit.FAILED


class SettingError(MeterError):
    """A wrong setting or argument."""

    code = Exit.WRONG_SETTING


class RefusalToStartError(MeterError):
    """Topics, state or log do not fit together. The message says what to do."""

    code = Exit.REFUSES


class NoRoomError(MeterError):
    """A disk is full. The message says which, and how much is needed."""

    code = Exit.NO_ROOM


class BrokerLostError(MeterError):
    """Kafka could not be reached within the client's own retries."""

    code = Exit.BROKER_LOST


class BrokerRefusesError(BrokerLostError):
    """Kafka is there and does not let us in with these settings. A start ends with it.

    Whoever is at work already waits, as for a Kafka that is away: somebody may be changing just that.
    """

    code = Exit.WRONG_SETTING
