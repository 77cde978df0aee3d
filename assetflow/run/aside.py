"""Running a function again beside the store: it reads what is stored, and what it makes goes to a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from assetflow.io.base import Want
from assetflow.io.sources import Observation
from assetflow.io.storage import Staged, Storage
from assetflow.load.live import LiveNode, Loaded, make_resource
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewVersion, Trace, Version
from assetflow.model.spec import AssetSpec
from assetflow.run.capture import capturing
from assetflow.run.resources import ResourcePool
from assetflow.run.step import Workbench, run_step
from assetflow.run.task import NodeResult, Origin, Task

RUN_ID = 0
"""No run of the catalog has this number."""


class AsideStorage(Storage):
    """A storage that writes into `folder`, and reads all that it did not write itself from another one."""

    def __init__(self, folder: Path, stored: Storage, settings: Settings, algorithm: str) -> None:
        super().__init__(
            folder / "data", warehouse=folder / "warehouse.duckdb", allow_pickle=settings.allow_pickle, hash=algorithm,
            duckdb=settings.duckdb, views=folder / "views",
        )  # fmt: skip
        self._stored = stored
        self._own: set[str] = set()

    def publish(self, staged: Staged, made: Mapping[str, object] | None = None) -> NewVersion:
        """Move the staged value to its place in the folder."""
        version = super().publish(staged, made)
        self._own.add(version.location)
        return version

    def read(self, version: Version, want: Want) -> object:
        """The value of a version of either storage."""
        return super().read(version, want) if version.location in self._own else self._stored.read(version, want)


class Aside:
    """A place to run functions that leaves no trace; see `aside`."""

    def __init__(self, settings: Settings, loaded: Loaded, specs: Mapping[AssetKey, AssetSpec], folder: Path) -> None:
        self._settings, self._loaded, self._specs, self._folder = settings, loaded, specs, folder
        self._nodes = {name: _without_checks(node) for name, node in loaded.nodes.items()}
        self._count = 0
        self.resources = ResourcePool(lambda cls: make_resource(cls, loaded.resources.get(cls, {})))

    def storage(self, stored: Storage, algorithm: str) -> AsideStorage:
        """A new empty storage beside `stored`, which hashes content with `algorithm`."""
        self._count += 1
        return AsideStorage(self._folder / str(self._count), stored, self._settings, algorithm)

    def run(
        self,
        storage: AsideStorage,
        node: str,
        versions: Mapping[AssetKey, Version],
        observations: Mapping[AssetKey, Observation],
        traces: Mapping[AssetKey, Trace],
        slots: tuple[AssetSpec, ...] = (),
    ) -> NodeResult:
        """What a function gives for these versions of its inputs. No check of its outputs is made.

        `slots` are the specs of its outputs and of the sources that it reads, of the graph that was given for `aside`.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        loaded = replace(self._loaded, nodes=self._nodes)
        bench = Workbench(self._settings.root, loaded, self._specs, storage, self.resources)
        origins = {key: _origin(trace) for key, trace in traces.items()}
        log = self._folder / f"{self._count}.log"
        task = Task(node, RUN_ID, self._settings.env, 1, versions, observations, {}, {}, origins, log, slots=slots)
        result = run_step(bench, task)
        if result.error is not None and result.error.type == "KeyboardInterrupt":
            raise KeyboardInterrupt
        return result


@contextmanager
def aside(settings: Settings, loaded: Loaded, specs: Mapping[AssetKey, AssetSpec]) -> Generator[Aside]:
    """A place beside the store, in the system's folder for temporary files; it is gone at the end of the block."""
    with TemporaryDirectory(prefix="assetflow-aside-", ignore_cleanup_errors=True) as folder, capturing():
        found = Aside(settings, loaded, specs, Path(folder))
        try:
            yield found
        finally:
            with redirect_stdout(sys.stderr):
                found.resources.close()


def _without_checks(node: LiveNode) -> LiveNode:
    outputs = tuple(replace(output, ready_checks=(), custom_checks=()) for output in node.outputs)
    return replace(node, outputs=outputs)


def _origin(trace: Trace) -> Origin:
    return Origin(
        trace.input_key, trace.code, trace.code_parts, trace.config, trace.inputs, trace.as_of, trace.packages,
        trace.files, trace.env_vars, trace.notes, trace.scheme, trace.code_version,
    )  # fmt: skip
