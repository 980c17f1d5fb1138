"""The command `meter`, and `python -m streams`, which is the same: quick to load, so that Ctrl-C is heard at once."""

import signal
import sys


def main() -> int:
    """Load the program and run a command. Returns its exit code.

    Before and after it there is nobody to say that it was stopped: then Ctrl-C ends the process without a word.
    """
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in the background of a shell
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from streams.cli import main as run  # noqa: PLC0415

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run()
    finally:
        if heard:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
