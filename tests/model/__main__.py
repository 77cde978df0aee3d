"""`python -m tests.model --steps 200000 --seed 7 [--json] [--no-shrink]`: exit code 1 when there is a disagreement."""

from __future__ import annotations

import argparse
import json
import sys
from math import inf

import assetflow
from tests.model.walk import campaign


def main() -> int:
    """Run a campaign and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=inf, help="end after so long, though steps are left")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-shrink", action="store_true")
    given = parser.parse_args()
    report = campaign(given.steps, given.seed, shrinks=not given.no_shrink, seconds=given.seconds)
    failure = report.failure
    if given.json:
        found = None if failure is None else {"seed": failure.seed, "ops": failure.ops, "problem": failure.problem}
        facts = {"steps": report.steps, "seed": given.seed, "seconds": round(report.seconds, 1),
                 "histories": report.histories, "disagreements": int(failure is not None), "failure": found,
                 "rules": dict(report.rules), "package": assetflow.__file__}  # fmt: skip
        sys.stdout.write(json.dumps(facts) + "\n")
    elif failure is None:
        sys.stdout.write(f"{report.steps} steps, {report.seconds:.0f} s, 0 disagreements\n")
    else:
        sys.stdout.write(f"seed {failure.seed}, after {report.steps} steps:\n  {failure.problem}\n")
        sys.stdout.writelines(f"  {op},\n" for op in failure.ops)
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
