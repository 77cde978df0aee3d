"""What very many partitions cost: a day asset, and a mart of the seven days up to each.

    python benchmarks/partitions/measure.py [--partitions 100000] [--json]

The catalog is filled through the commit of runs, with empty files in the place of stored versions: what is measured are
looks at what there is, and the size of the catalog. Times are seconds of the wall, each the median of several looks.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assetflow.catalog.catalog import Catalog
    from assetflow.model.records import NewTrace, TraceInput
    from assetflow.model.spec import AssetSpec
    from assetflow.plan.staleness import Content
    from assetflow.project import Project

PROJECT = """
from typing import Annotated

import pandas as pd

from assetflow import Daily, In, Partition, asset

DAYS = Daily("{start}", end="{end}")


@asset(partitions=DAYS)
def day(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"n": [partition.start.day]}})


@asset(partitions=DAYS)
def week(day: Annotated[pd.DataFrame, In(window=-6)]) -> pd.DataFrame:
    return pd.DataFrame({{"n": [day["n"].sum()]}})
"""
MADE = """
import pandas as pd

from assetflow import Daily, Partition, asset

DAYS = Daily("{start}", end="{end}")


@asset(partitions=DAYS)
def one_by_one(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"day": [partition.key]}})


@asset(partitions=DAYS, batch=500, partition_column="day")
def in_batches(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"day": list(partition.keys)}})
"""
LAST = date(2026, 1, 1)
BATCH = 5000
REAL: dict[tuple[str, str], str] = {}
"""The hashes of what was really made, by asset and partition."""


def main() -> None:
    """Print the table, or its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--backfill", type=int, default=10_000, help="partitions that are really made")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            **measure(Path(folder) / "looks", options.partitions),
            **backfill(Path(folder) / "made", options.backfill),
        }
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name:<44}{value:>14}\n")


def measure(root: Path, partitions: int) -> dict[str, float]:
    """The figures by what they are of."""
    project = _project(root, partitions)
    project.materialize(partitions=f"{LAST - timedelta(days=9)}..{LAST}").raise_for_status()
    began = time.perf_counter()
    fill(project, partitions)
    filled = time.perf_counter() - began
    catalog = root / ".assetflow" / "catalog.db"
    figures: dict[str, float] = {"partitions of each of two assets": partitions}
    figures["commit, ms for each partition"] = round(filled * 1000 / (2 * partitions), 3)
    figures["catalog, bytes for each version"] = round(catalog.stat().st_size / (2 * partitions))
    began = time.perf_counter()
    project.materialize("day", partitions=str(LAST), force=True).raise_for_status()
    figures["a run after very many, s"] = round(time.perf_counter() - began, 4)
    figures["first status after a run, s"] = _median(project.status, 1)
    figures["status without any note, s"] = _median(project.status, 3, before=lambda: forget(root))
    figures["status, s"] = _median(project.status, 5)
    figures["plan without any note, s"] = _median(project.plan, 3, before=lambda: forget(root))
    figures["plan, s"] = _median(project.plan, 5)
    for number in range(5):
        changed = LAST - timedelta(days=partitions // 2 + 20 * number)
        revise(project, str(changed))
        began = time.perf_counter()
        plan = project.plan()
        figures[f"plan after one changed partition, s ({number + 1})"] = round(time.perf_counter() - began, 4)
        assert len(plan.run) == 7 * (number + 1), f"{len(plan.run)} partitions would run"
    return figures


def backfill(root: Path, partitions: int) -> dict[str, float]:
    """Really make trivial partitions, in threads: what the main thread does meanwhile is planning and recording."""
    project = _project(root, partitions, MADE)
    project.materialize("one_by_one", partitions="latest")  # the project is imported
    figures: dict[str, float] = {"partitions made": partitions}
    for key in ("one_by_one", "in_batches"):
        began, busy = time.perf_counter(), time.thread_time()
        project.materialize(key, executor="threads").raise_for_status()
        wall, busy = time.perf_counter() - began, time.thread_time() - busy
        figures[f"{key}: bookkeeping, ms of CPU for each"] = round(busy * 1000 / partitions, 3)
        figures[f"{key}: all, ms of the wall for each"] = round(wall * 1000 / partitions, 3)
    return figures


def _project(root: Path, partitions: int, text: str = PROJECT) -> Project:
    from assetflow.project import Project

    root.mkdir()
    (root / "assetflow.toml").write_text('modules = ["assets"]\nhive = false\n')
    (root / "assets.py").write_text(text.format(start=LAST - timedelta(days=partitions - 1), end=LAST))
    return Project.load(root)


def forget(root: Path) -> None:
    """Take away what was noted of partitions: the next look is at everything."""
    (root / ".assetflow" / "cache" / "partitions-dev.json").unlink(missing_ok=True)
    with closing(sqlite3.connect(root / ".assetflow" / "catalog.db")) as catalog, catalog:
        catalog.execute("DELETE FROM meta WHERE name = 'partitions-dev'")


def _median(look: Callable[[], object], times: int, before: Callable[[], object] = lambda: None) -> float:
    found: list[float] = []
    for _ in range(times):
        before()
        began = time.perf_counter()
        look()
        found.append(time.perf_counter() - began)
    return round(statistics.median(found), 4)


def fill(project: Project, partitions: int) -> None:
    """Record a version of every partition that has none, as runs do."""
    from assetflow.catalog.catalog import Catalog

    catalog = Catalog(project.settings.catalog_path, write=True)
    try:
        heads = catalog.heads("dev")
        for key in ("day", "week"):
            spec = project.graph.specs[key]  # type: ignore[index]
            known = {partition: head.version.data_hash for (asset, partition), head in heads.items() if asset == key}
            REAL.update({(key, partition): digest for partition, digest in known.items()})
            days = [str(LAST - timedelta(days=back)) for back in reversed(range(partitions))]
            like = next(head for (asset, _), head in heads.items() if asset == key)
            missing = [one for one in days if one not in known]
            for start in range(0, len(missing), BATCH):
                _commit(catalog, project, [_trace(spec, one, days[0], like) for one in missing[start : start + BATCH]])
    finally:
        catalog.close()


def revise(project: Project, day: str) -> None:
    """Give one day another content."""
    from msgspec.structs import replace

    from assetflow.catalog.catalog import Catalog
    from assetflow.model.keys import AssetKey

    catalog = Catalog(project.settings.catalog_path, write=True)
    try:
        head = catalog.heads("dev", [(AssetKey("day"), day)])[AssetKey("day"), day]
        trace = _trace(project.graph.specs[AssetKey("day")], day, day, head, digest="adh1-xxh3:" + "f" * 32)
        _commit(catalog, project, [replace(trace, seen_trace_id=head.trace.trace_id)])
    finally:
        catalog.close()


def _commit(catalog: Catalog, project: Project, traces: list[NewTrace]) -> None:
    for trace in traces:
        assert trace.version is not None, "every one has a version"
        folder = project.storage.root / trace.version.location
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.parquet").touch()
    run_id, _ = catalog.begin_run(
        "dev", selection="", cause="cli", user="benchmark", host="here", pid=1, at=time.time(), assets=[traces[0].asset]
    )
    catalog.commit("dev", run_id, traces, time.time(), list(_attempts(run_id, traces)))
    catalog.finish_run(run_id, "ok", {"materialized": len(traces)}, time.time())


def _attempts(run_id: int, traces: list[NewTrace]) -> Iterator[Any]:
    from assetflow.model.records import Attempt

    for one in traces:
        seconds = {"load": 0.0012, "compute": 0.0042, "write": 0.0021, "check": 0.0001, "commit": 0.0031}
        reasons = ({"code": "never_materialized", "text": "never materialized", "root": True},)
        yield Attempt(
            run_id, one.asset, one.partition, 1, "materialized", one.started_at, one.finished_at, None, reasons, None,
            (), seconds, (), 0.003,
        )  # fmt: skip


def _hash(key: str, partition: str) -> str:
    import hashlib

    return REAL.get((key, partition)) or "adh1-xxh3:" + hashlib.sha256(f"{key}{partition}".encode()).hexdigest()[:32]


def _inputs(spec: AssetSpec, partition: str, first: str) -> list[tuple[Any, Content, TraceInput]]:
    from msgspec.structs import replace

    from assetflow.model.keys import slot
    from assetflow.model.records import TraceInput
    from assetflow.plan.staleness import Content

    found: list[tuple[Any, Content, TraceInput]] = []
    for given in spec.inputs:
        for back in range(6, -1, -1):
            day = str(date.fromisoformat(partition) - timedelta(days=back))
            if day < first:
                continue
            read = replace(given, upstream=slot(given.upstream, day))
            content = Content(_hash(given.upstream, day), None, {}, 1)
            found.append((read, content, TraceInput(given.parameter, read.upstream, "value", content.data_hash, 1)))
    return found


def _trace(spec: AssetSpec, partition: str, first: str, like: Any, digest: str = "") -> NewTrace:
    from msgspec.structs import replace

    from assetflow.model.keys import slot
    from assetflow.model.records import NewTrace, NewVersion
    from assetflow.plan.staleness import digest_of, input_key

    own = digest or _hash(spec.key, partition)
    read = _inputs(spec, partition, first)
    key = input_key(
        replace(spec, key=slot(spec.key, partition)), [(given, digest_of(given, content)) for given, content, _ in read]
    )
    old = like.version
    location = f"{spec.key}/{partition}/{own[-16:]}-{own[-12:]}"
    version = NewVersion(
        own, old.io, location, 1, old.size_bytes, old.schema, dict.fromkeys(old.columns, own[-32:]), old.details
    )
    trace, now = like.trace, time.time()
    return NewTrace(
        spec.key, key, trace.code, trace.code_parts, trace.config, tuple(one for _, _, one in read), "run", now - 0.01,
        now, now, {}, version, None, None, partition, trace.packages, trace.files, trace.env_vars, trace.notes,
        trace.scheme, trace.code_version,
    )  # fmt: skip


if __name__ == "__main__":
    main()
