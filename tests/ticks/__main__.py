"""`python -m tests.ticks --days 1000 --seed 7 [--json]`: exit code 1 when a tick was lost or had two runs."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.ticks.world import simulate


def main() -> int:
    """Simulate and print what happened."""
    parser = argparse.ArgumentParser(prog="python -m tests.ticks", description=__doc__)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    world = simulate(given.days, given.seed)
    facts = {"days": given.days, "seed": given.seed, "seconds": round(time.monotonic() - began, 1),
             **dict(sorted(world.counts.items())), "problems": world.problems[:5]}  # fmt: skip
    for name, figure in [("", json.dumps(facts))] if given.json else facts.items():
        sys.stdout.write(f"{figure}\n" if not name else f"{name:28} {figure}\n")
    return 1 if world.problems else 0


if __name__ == "__main__":
    sys.exit(main())
