"""What very many versions cost: bytes of the catalog, commits into it, and verbs beside those with a new one."""

from __future__ import annotations

import functools
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.figures import Figure, Turn, in_turns
from benchmarks.peers.graphs import layered
from benchmarks.peers.processes import Command, run
from benchmarks.peers.tools.flow import Assetflow, assetflow
from benchmarks.peers.works import Bench, Later

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from assetflow.catalog.catalog import Catalog
    from assetflow.model.records import Head, NewTrace

LOOKS = {"status": ("status",), "plan": ("plan",), "nothing": ("materialize", "--quiet")}


def catalog(bench: Bench, versions: int, assets: int) -> Iterator[list[Figure]]:
    """A project whose catalog has so many versions, beside the same project with one version of each asset."""
    graph = layered(assets)
    few, many = (Assetflow(bench.environments, "threads") for _ in range(2))
    few.name = few.base = many.base = f"assetflow, {assets:,} versions"
    many.name = f"assetflow, {versions:,} versions"
    bench.lay([few], graph)
    bench.said(f"catalog: {assets} assets are made")
    run(few.make(bench.places[few.name]))
    bench.places[many.name] = bench.folder / "many"
    shutil.copytree(bench.places[few.name], bench.places[many.name], symlinks=True)
    bench.said(f"catalog: {versions} versions are committed")
    facts = filled(bench.places[many.name], max(1, versions // assets - 1))
    bench.said("catalog: all is made once more, so that what is current has its bytes")
    run(assetflow(bench.places[many.name], "materialize", "--quiet", "--force"))
    yield [Figure("catalog", "filled", versions, many.name, "", facts=facts)]

    def look(tool: Assetflow, arguments: tuple[str, ...]) -> Command:
        return assetflow(bench.places[tool.name], *arguments)

    for case, arguments in LOOKS.items():
        turns = [
            Turn(tool.name, functools.partial(look, tool, arguments), lambda: None, tool.base) for tool in (few, many)
        ]
        yield in_turns("catalog", case, versions, turns, bench.rounds, bench.said)
    turns = [Later(bench, tool, graph).turn("leaf") for tool in (few, many)]
    yield in_turns("catalog", "leaf", versions, turns, bench.rounds, bench.said)


def filled(root: Path, rounds: int) -> dict[str, float]:
    """Commit so many more versions of every asset, as runs do, without any bytes; and what that took."""
    from assetflow.catalog.catalog import Catalog
    from assetflow.project import Project

    with Project.load(root) as project:
        path = project.settings.catalog_path
    before = _size(path)
    store = Catalog(path, write=True)
    took: list[float] = []
    versions = 0
    try:
        for number in range(rounds):
            heads = list(store.heads("dev").values())
            began = time.process_time()
            _commit(store, number, heads)
            versions += len(heads)
            took.append((time.process_time() - began) / len(heads))
    finally:
        store.close()
    few = max(1, rounds // 20)
    return {
        "versions committed": versions,
        "commit of the first, ms of CPU for each": round(1000 * sum(took[:few]) / few, 4),
        "commit of the last, ms of CPU for each": round(1000 * sum(took[-few:]) / few, 4),
        "last to first": round(sum(took[-few:]) / sum(took[:few]), 3),
        "catalog, bytes for each version": round((_size(path) - before) / versions),
        "catalog, MiB": round(_size(path) / (1 << 20), 1),
    }


def _size(catalog: Path) -> int:
    return sum(file.stat().st_size for file in catalog.parent.glob(catalog.name + "*"))


def _commit(store: Catalog, number: int, heads: Sequence[Head]) -> None:
    """One run in which every asset got another content."""
    now = time.time()
    hashes = {head.trace.asset: f"adh1-xxh3:{os.urandom(16).hex()}" for head in heads}
    traces = [_trace(head, hashes, now) for head in heads]
    run_id, _ = store.begin_run(
        "dev", selection="", cause="cli", user="benchmark", host="here", pid=1, at=now, assets=list(hashes)
    )
    store.commit("dev", run_id, traces, now, [_attempt(run_id, trace) for trace in traces])
    store.finish_run(run_id, "ok", {"materialized": len(traces)}, now)


def _trace(head: Head, hashes: dict[Any, str], now: float) -> NewTrace:
    from msgspec.structs import replace

    from assetflow.model.records import NewTrace, NewVersion

    old, trace = head.version, head.trace
    own = hashes[trace.asset]
    inputs = tuple(
        replace(one, digest=hashes[one.upstream], version_number=(one.version_number or 0) + 1) for one in trace.inputs
    )
    location = f"{trace.asset}/_/{own[-16:]}-{own[-12:]}"
    version = NewVersion(
        own, old.io, location, old.rows, old.size_bytes, old.schema, dict.fromkeys(old.columns, own[-32:]), old.details
    )
    return NewTrace(
        trace.asset, own[-32:], trace.code, trace.code_parts, trace.config, inputs, "run", now - 0.01, now, now, {},
        version, None, trace.trace_id, trace.partition, trace.packages, trace.files, trace.env_vars, trace.notes,
        trace.scheme, trace.code_version,
    )  # fmt: skip


def _attempt(run_id: int, trace: NewTrace) -> Any:
    from assetflow.model.records import Attempt

    seconds = {"load": 0.0012, "compute": 0.0042, "write": 0.0021, "check": 0.0001, "commit": 0.0031}
    reasons = ({"code": "data_changed", "text": "the data of an upstream changed", "root": False},)
    return Attempt(
        run_id, trace.asset, trace.partition, 1, "materialized", trace.started_at, trace.finished_at, None, reasons,
        None, (), seconds, (), 0.003,
    )  # fmt: skip
