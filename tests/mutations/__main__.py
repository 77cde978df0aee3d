"""`python -m tests.mutations --edits 50000 --seed 1 --json`: the long campaign, in as many processes as asked."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.mutations.campaign import Tally, campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    share = -(-given.edits // given.processes)
    seeds = [given.seed * 1000 + place for place in range(given.processes)]
    if given.processes == 1:
        tallies = [campaign(share, seeds[0])]
    else:
        with ProcessPoolExecutor(given.processes) as pool:
            tallies = list(pool.map(campaign, [share] * given.processes, seeds))
    found = _together(tallies).as_dict()
    for name, figure in [("json", json.dumps(found, indent=2))] if given.json else found.items():
        sys.stdout.write(f"{figure}\n" if name == "json" else f"{name:20} {figure}\n")
    return 1 if found["missed"] or found["unstable"] else 0


def _together(tallies: list[Tally]) -> Tally:
    whole = Tally()
    for one in tallies:
        for name in ("edits", "changing", "answers", "stale"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        for name in ("missed", "needless", "unjustified", "unstable"):
            getattr(whole, name).extend(getattr(one, name))
        whole.by_shape += one.by_shape
        whole.seconds = max(whole.seconds, one.seconds)
    return whole


if __name__ == "__main__":
    raise SystemExit(main())
