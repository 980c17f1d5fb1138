"""Heavy work in a process of its own: what holds the interpreter for seconds would hold up whoever shares it.

The process is given its work on standard input and answers on standard output, is less urgent than others, and ends
with the thread that started it.
"""

import asyncio
import os
import pickle
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from streams.errors import MeterError
from streams.process import die_with_parent

_T = TypeVar("_T")

NICENESS = 10


async def apart(work: Callable[..., Coroutine[Any, Any, _T]], *arguments: Any, patience_s: float) -> _T:
    """What work gives, done elsewhere. `work` is a function of a module; all that comes and goes can be pickled.

    Raises what it raises, TimeoutError when it takes longer than patience, and MeterError where its process ends early.
    """
    owner = [sys.executable, "-P", die_with_parent.__file__, str(os.getpid())]
    process = await asyncio.create_subprocess_exec(
        *owner, sys.executable, "-P", "-m", __name__,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path.cwd(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(patience_s):
            answer, _ = await process.communicate(pickle.dumps((work, arguments)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not answer:
        raise MeterError(f"the process that did it ended with code {process.returncode}")
    result, error = pickle.loads(answer)
    if error is not None:
        raise error
    found: _T = result
    return found


def main() -> None:
    """In the process: do what is given on standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.nice(NICENESS)
    work, arguments = pickle.load(sys.stdin.buffer)
    result, error = None, None
    try:
        result = asyncio.run(work(*arguments))
    except Exception as failure:  # whatever it is: the one who waits is told
        error = failure
    with answers:
        answers.write(_pickled(result, error))


def _pickled(result: object, error: Exception | None) -> bytes:
    try:
        return pickle.dumps((result, error))
    except Exception:  # errors of libraries may hold what cannot be sent
        return pickle.dumps((None, MeterError(repr(error))))


if __name__ == "__main__":
    main()
