"""`python -m tests.zones --windows 100000 --seed 7 [--json]`: exit code 1 when there is a mismatch."""

from __future__ import annotations

import argparse
import json
import sys

import assetflow
from tests.zones.campaign import campaign


def main() -> int:
    """Compare windows and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.zones", description=__doc__)
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report = campaign(given.windows, given.seed)
    if given.json:
        sys.stdout.write(json.dumps(report.to_json() | {"package": assetflow.__file__}) + "\n")
    else:
        sys.stdout.write(f"{report.windows} windows, {len(report.zones)} zones, {report.wrong} mismatches\n")
        sys.stdout.writelines(f"  {example}\n" for example in report.examples)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
