"""`python -m tests.audit AUDITOR [OPTION...]`: pip-audit, whose Python is AUDITOR, on every pin.

The exit code is 0 when every package was looked up and has none, 1 when there are known faults, and 2 when the database
could not be asked. pip-audit itself ends with 1 and a traceback then, or with 0 when the database knows no package.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-run.lock",
    "requirements-build.lock",
    "tests/generated/requirements.lock",
    "tests/audit/requirements.lock",
)
NONE_KNOWN, FAULTS, NOT_ASKED = 0, 1, 2


def command(auditor: str) -> list[str]:
    """pip-audit over all locks, whose pins are whole: nothing is resolved or installed for it."""
    options = ["--vulnerability-service", "osv", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    return [auditor, "-m", "pip_audit", *options, "--format", "json", *(f"--requirement={lock}" for lock in LOCKS)]


def answer(out: str, err: str) -> tuple[int, list[str]]:
    """The exit code, and what is said: of what pip-audit printed."""
    try:
        packages: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return NOT_ASKED, [f"audit: the database of known faults could not be asked: {_last_line(err)}"]
    faults = sorted(set(_faults(packages)))
    skipped = [package for package in packages if "skip_reason" in package]
    if faults:
        return FAULTS, [*faults, f"audit: {len(faults)} known faults"]
    if skipped or not packages:
        why = skipped[0]["skip_reason"] if skipped else "no package was read"
        return NOT_ASKED, [f"audit: {len(skipped)} of {len(packages)} packages could not be looked up: {why}"]
    return NONE_KNOWN, [f"audit: {len(packages)} packages, no known fault"]


def _faults(packages: list[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for fault in package.get("vulns", ()):
            mended = ", ".join(fault["fix_versions"]) or "no version yet"
            names = " ".join([fault["id"], *fault["aliases"]])
            yield f"{package['name']} {package['version']}: {names}, mended in {mended}"


def _last_line(err: str) -> str:
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return lines[-1] if lines else "pip-audit said nothing"


def main(arguments: list[str]) -> int:
    """Ask, say, and give the exit code. Options go to pip-audit."""
    auditor, *options = arguments
    done = subprocess.run([*command(auditor), *options], cwd=ROOT, check=False, capture_output=True, text=True)
    code, said = answer(done.stdout, done.stderr)
    print("\n".join(said))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
