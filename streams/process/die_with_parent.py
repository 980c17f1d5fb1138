"""Run a command that ends with its owner: `die_with_parent.py OWNER_PID COMMAND...`. A script of its own, run by path.

The kernel sends SIGTERM to the command when the thread that started it ends, however it ends (SIGKILL too), so a broker
never outlives the program that it was started for, and still shuts down cleanly. The setting survives exec.
It is made here, between fork and exec, because Python code in a forked child of a threaded program may deadlock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the owner ended first")
    os.execv(sys.argv[2], sys.argv[2:])
