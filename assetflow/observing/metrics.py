"""The metrics of a project as it is now: states as `status` has them, and what the catalog counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.catalog.counting import BOUNDS, Times, Totals
from assetflow.model.keys import split_slot
from assetflow.observing.openmetrics import Family, Sample, exposition

if TYPE_CHECKING:
    from assetflow.views import AssetStatus, Status

MOST_ASSETS = 10_000
"""So many assets have samples of their own."""

STATES = ("missing", "stale", "maybe", "reusable", "current", "pinned", "undecided", "failed", "blocked", "running")
TIMELINESS = ("on_time", "due", "overdue", "unknown", "no_policy")
RESULTS = (
    "materialized", "unchanged", "linked", "cut_off", "skipped", "failed", "rejected", "blocked", "cancelled", "died",
    "superseded",
)  # fmt: skip
COMPUTED = ("materialized", "unchanged", "failed", "rejected")
"""Results of attempts in which a function ran to its end: those whose times are told."""
RUNS = ("ok", "failed", "cancelled", "died")
STORED = ("live", "condemned", "rejected")


class Metrics(Struct, frozen=True):
    """The metrics of one environment. `left_out` counts assets without samples of their own."""

    families: tuple[Family, ...]
    assets: int
    left_out: int

    @property
    def text(self) -> str:
        """OpenMetrics text, in UTF-8 once it is written."""
        return exposition(self.families)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(len(family.samples) for family in self.families)

    def to_json(self) -> dict[str, object]:
        """The metrics as JSON-able values."""
        found = [family.to_json() for family in self.families if family.samples]
        return {"assets": self.assets, "assets_left_out": self.left_out, "families": found}


def metrics(project: str, status: Status, totals: Totals, now: float, most: int = MOST_ASSETS) -> Metrics:
    """The metrics of a project at `now` (UTC seconds).

    With more than `most` assets, those whose keys come last have no samples of their own; every count has them.
    """
    base = {"project": project, "env": status.env}
    rows = sorted(status.rows, key=lambda row: row.spec.key)
    told = rows[:most]
    families = [
        *_of_assets(told, base, now),
        *_of_project(rows, status, base, len(rows) - len(told)),
        *_of_history(totals, base),
    ]
    return Metrics(tuple(families), len(told), len(rows) - len(told))


def _of_assets(rows: Sequence[AssetStatus], base: Mapping[str, str], now: float) -> Iterable[Family]:
    def gauge(name: str, text: str, value: Callable[[AssetStatus], float | None], unit: str = "") -> Family:
        found = [(row, value(row)) for row in rows]
        samples = (Sample({**base, **_named(row)}, one) for row, one in found if one is not None)
        return Family(f"assetflow_{name}", "gauge", text, tuple(samples), unit)

    yield Family(
        "assetflow_asset_state", "gauge", "1 for the state of content that an asset is in; the others are absent.",
        tuple(Sample({**base, **_named(row), "state": row.state}, 1) for row in rows),
    )  # fmt: skip
    yield Family(
        "assetflow_asset_labels", "gauge", "1 for each asset, with what was declared of it as labels.",
        tuple(Sample({**base, **_named(row), **_declared(row)}, 1) for row in rows),
    )  # fmt: skip
    yield gauge("freshness_lag_seconds", "Age of the data behind an asset.", lambda row: _lag(row, now), "seconds")
    yield gauge("deadline_timestamp_seconds", "When the asset is, or was, due.", lambda row: row.freshness.deadline,
                "seconds")  # fmt: skip
    yield gauge(
        "overdue", "1 where data is older than its policy allows, else 0; absent without policy or data.", _overdue
    )
    yield gauge("updated_timestamp_seconds", "When the current version was made or observed.",
                lambda row: None if row.head is None else row.head.trace.finished_at, "seconds")  # fmt: skip
    yield gauge("rows", "Rows of the current version.", lambda row: None if row.head is None else row.head.version.rows)
    yield gauge("bytes", "Bytes of the current version as it was stored.",
                lambda row: None if row.head is None else row.head.version.size_bytes, "bytes")  # fmt: skip


def _of_project(
    rows: Sequence[AssetStatus], status: Status, base: Mapping[str, str], left_out: int
) -> Iterable[Family]:
    own = [row for row in rows if not row.spec.is_source]
    states, times = Counter(row.state for row in own), Counter(str(row.freshness.timeliness) for row in rows)
    yield _by("assets", "gauge", "Assets in each state of content; sources are not among them.", base, "state",
              STATES, states)  # fmt: skip
    yield _by("deadlines", "gauge", "Assets and sources in each state of time.", base, "timeliness", TIMELINESS, times)
    yield Family("assetflow_assets_left_out", "gauge",
                 "Assets and sources without samples of their own, because there are too many.",
                 (Sample(base, left_out),))  # fmt: skip
    yield Family("assetflow_runs_going_on", "gauge", "Runs that are going on.",
                 (Sample(base, int(status.running is not None)),))  # fmt: skip


def _of_history(totals: Totals, base: Mapping[str, str]) -> Iterable[Family]:
    yield _by("materializations", "counter", "Attempts at assets that ended, by what became of them.", base, "result",
              RESULTS, totals.attempts)  # fmt: skip
    yield Family(
        "assetflow_duration_seconds", "histogram", "How long attempts took in which the function of an asset ran.",
        tuple(sample for result in COMPUTED for sample in _histogram(totals.times.get(result), base, result)),
        "seconds",
    )  # fmt: skip
    yield _by("runs", "counter", "Runs that ended, by how.", base, "state", RUNS, totals.runs)
    yield _by("store_versions", "gauge", "Versions that the store holds, of all environments together.", base, "state",
              STORED, totals.versions)  # fmt: skip
    yield _by("store_bytes", "gauge", "Bytes of these versions, as they were when they were stored.", base, "state",
              STORED, totals.version_bytes, "bytes")  # fmt: skip


def _by(
    name: str, kind: str, text: str, base: Mapping[str, str], label: str, values: Sequence[str],
    counts: Mapping[str, int], unit: str = "",
) -> Family:  # fmt: skip
    """One sample for each of the values, those that do not occur too: a series that is absent cannot be counted."""
    suffix = "_total" if kind == "counter" else ""
    found = dict.fromkeys([*values, *sorted(counts)])
    samples = (Sample({**base, label: value}, counts.get(value, 0), suffix) for value in found)
    return Family(f"assetflow_{name}", kind, text, tuple(samples), unit)


def _histogram(times: Times | None, base: Mapping[str, str], result: str) -> Iterable[Sample]:
    labels = {**base, "result": result}
    found = times or Times({}, 0, 0)
    below = 0
    for bound in BOUNDS:
        below += found.within.get(bound, 0)
        yield Sample({**labels, "le": str(bound)}, below, "_bucket")
    yield Sample({**labels, "le": "+Inf"}, found.timed, "_bucket")
    yield Sample(labels, found.timed, "_count")
    yield Sample(labels, found.sum_us / 1e6, "_sum")


def _named(row: AssetStatus) -> dict[str, str]:
    """The labels that name an asset, or one of its partitions."""
    asset, partition = split_slot(row.spec.key)
    return {"asset": asset, "partition": partition} if partition else {"asset": asset}


def _lag(row: AssetStatus, now: float) -> float | None:
    return None if row.freshness.as_of is None else max(0.0, now - row.freshness.as_of)


def _overdue(row: AssetStatus) -> float | None:
    word = str(row.freshness.timeliness)
    return None if word in ("no_policy", "unknown") else float(word == "overdue")


def _declared(row: AssetStatus) -> dict[str, str]:
    """What people filter by, as labels; a tag `team-name` is the label `tag_team_name`."""
    spec = row.spec
    found = {"kind": spec.kind, "group": spec.group, "owners": ",".join(spec.owners), "io": spec.io}
    for tag in sorted(spec.tags):
        name = "tag_" + re.sub(r"[^A-Za-z0-9_]", "_", tag)
        while name in found:  # two tags that differ in signs which no label has
            name += "_"
        found[name] = spec.tags[tag] or "true"
    return found
