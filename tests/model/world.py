"""The real project: a catalog and files in a folder of its own, driven through `Project`, and a clock that can jump."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from msgspec.structs import replace

from assetflow import Project
from assetflow.care.restoring import restore
from assetflow.io.base import Target, Want, Written
from assetflow.io.hashing import json_hash
from assetflow.io.plain import JsonIO
from assetflow.io.storage import Storage
from assetflow.load.settings import read_settings
from assetflow.model.records import Head, Version
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan
from assetflow.run.outcome import RunResult, SilentObserver
from assetflow.testing.failpoints import Failpoints
from tests.model.story import Function, seen
from tests.model.written import WEATHER, loaded_project

_REAL_TIME = time.time


class RowsIO(JsonIO):
    """JSON that knows rows and columns, as tables do: a projection costs no Parquet file here."""

    def write(self, value: object, target: Target) -> Written:
        written = super().write(value, target)
        assert isinstance(value, list)
        columns = {name: json_hash([row[name] for row in value], "xxh3") for name in ("a", "b")}
        return replace(written, rows=len(value), schema=dict.fromkeys(columns, "int64"), columns=columns)

    def read(self, version: Version, directory: Path, want: Want) -> object:
        import json

        value = super().read(version, directory, Want("python"))
        return json.loads(seen(json.dumps(value), want.columns or ()))


class Watcher(SilentObserver):
    """Keeps the plan of a run."""

    def __init__(self) -> None:
        self.plan: Plan | None = None

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        self.plan = plan


class World:
    """One project on disk."""

    def __init__(self, folder: Path | None = None) -> None:
        memory = Path("/dev/shm")
        base = folder or (memory if os.access(memory, os.W_OK) else None)
        self.root = Path(mkdtemp(prefix="assetflow-model-", dir=base))
        (self.root / "assetflow.toml").write_text('modules = ["assets"]\nexecutor = "inline"\n')
        self.settings = read_settings(self.root, {})
        self.offset = 0.0
        self.project: Project

    def close(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    @contextmanager
    def clock(self) -> Generator[None]:
        """Time as this world has it, for as long as the block takes."""
        time.time = lambda: _REAL_TIME() + self.offset
        try:
            yield
        finally:
            time.time = _REAL_TIME

    def declare(self, functions: list[Function], bodies: dict[str, int], *, backwards: bool) -> None:
        """The project as it would be loaded now, in a process of its own."""
        WEATHER.root = self.root
        loaded = loaded_project(functions, bodies, self.root, backwards=backwards)
        self.project = Project(self.settings, AssetGraph(loaded.specs))
        self.project._loaded = loaded
        self.project.storage = Storage(
            self.settings.storage_path, warehouse=self.settings.warehouse_path, managers={"json": RowsIO()}
        )

    def set_source(self, key: str, token: str | None) -> None:
        """Give a source this content, or take it away."""
        WEATHER.tokens[key] = token
        path = self.root / f"{key}.json"
        if key != "s0":
            return
        if token is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(token)

    def set_file(self, name: str, text: str) -> None:
        """Give a file that functions open this content."""
        (self.root / f"{name}.txt").write_text(text)

    # -- verbs

    def materialize(
        self, targets: list[str] | None, *, workers: int = 1, with_upstream: bool = True, force: bool = False
    ) -> tuple[RunResult, Plan | None]:
        """A run in this process, and the plan that it was made by; several workers are threads."""
        watcher = Watcher()
        result = self.project.materialize(
            targets, observer=watcher, with_upstream=with_upstream, force=force, workers=workers,
            executor="threads" if workers > 1 else "inline",
        )  # fmt: skip
        return result, watcher.plan

    def materialize_and_die(self, targets: list[str] | None, at: int) -> bool:
        """A run in a process that is killed at its file operation number `at`; False when it had ended before."""
        child = os.fork()
        if child == 0:
            try:
                Failpoints(self.root, at=at, action=("kill", "kill after", "torn")[at % 3]).install()
                self.project.materialize(targets)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)

    def read(self, head: Head) -> object:
        """What is stored, as it is."""
        return self.project.storage.read(head.version, Want("python"))

    def collect(self, keep: int) -> list[tuple[str, int]]:
        """What gc removed, as keys with version numbers."""
        done = self.project.gc(keep=keep, keep_days=0, grace_s=0)
        return [(one.asset, number) for one in done.going for number in one.numbers]

    def mend(self) -> None:
        """What `doctor --fix` does, by the real clock, which the times of files are from: what looks new would stay."""
        time.time, ours = _REAL_TIME, time.time
        try:
            self.project.mend(self.project.doctor(grace_s=0), grace_s=0)
        finally:
            time.time = ours

    def lose_catalog(self) -> None:
        """Delete the catalog, and make it again from its journal."""
        path = self.settings.catalog_path
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        restore(self.settings)

    def lose_everything(self) -> None:
        """Delete all that assetflow keeps."""
        shutil.rmtree(self.settings.state_path, ignore_errors=True)

    def lose_bytes(self, place: str) -> None:
        """Delete the folder of a version."""
        shutil.rmtree(self.settings.storage_path / place)
