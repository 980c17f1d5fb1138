"""`make simulate SEED=n`: replay one seeded simulation."""

import argparse
import sys

from tests.simulation.run import simulate


def main() -> int:
    """Exit code 1 when something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    outcome = simulate(options.seed, options.steps)
    print(f"seed {options.seed}: {outcome.steps} steps, {outcome.crashes} crashes, {outcome.records} records")
    print(", ".join(f"{kind} {times}" for kind, times in sorted(outcome.rows.items())))
    for text in outcome.differences[:20]:
        print(text)
    print("no difference" if not outcome.differences else f"{len(outcome.differences)} differences")
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
