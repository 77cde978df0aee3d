"""Assets in memory, for unit tests and notebooks: no project, no files, no threads, about a millisecond an asset."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from assetflow.errors import CheckFailed, UsageError, did_you_mean
from assetflow.io.forms import form_of
from assetflow.model.declare import AssetLike, Result, Skip
from assetflow.model.keys import UNPARTITIONED, AssetKey, find_key, last_name
from assetflow.model.records import CheckOutcome

if TYPE_CHECKING:
    from assetflow.io.base import Want
    from assetflow.io.storage import Staged, Storage
    from assetflow.load.live import Binding, LiveNode, LiveOutput, Loaded
    from assetflow.run.resources import ResourcePool


@dataclass(frozen=True, slots=True)
class MemoryAsset:
    """What one asset made: its `value` as the function returned it, and how its checks went."""

    key: AssetKey
    value: object
    checks: tuple[CheckOutcome, ...] = ()
    metadata: Mapping[str, object] | None = None
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class MemoryResult:
    """The assets that were made, by key."""

    assets: Mapping[AssetKey, MemoryAsset]

    def __getitem__(self, key: str) -> MemoryAsset:
        found = find_key(key, self.assets)
        if found is None:
            raise KeyError(f"{key} was not materialized; {did_you_mean(key, self.assets) or ', '.join(self.assets)}")
        return self.assets[found]

    @property
    def ok(self) -> bool:
        """Whether every check passed, the warning ones too."""
        return all(check.passed for asset in self.assets.values() for check in asset.checks)


def materialize(
    assets: Iterable[AssetLike],
    *,
    inputs: Mapping[str, object] | None = None,
    config: Mapping[str, Mapping[str, object]] | None = None,
    resources: Iterable[object] = (),
) -> MemoryResult:
    """Run these assets in memory, in the order of their lineage, and return what they made.

    `inputs` gives the values of upstreams (sources or assets) that are not run. `config` overrides config fields by
    asset key, `resources` stands in for resource classes by type. An exception of an asset's function reaches the
    caller as it is; so does the failure of a blocking check.

    Example:
        >>> from assetflow import asset
        >>> @asset
        ... def numbers() -> list[int]:
        ...     return [1, 2]
        >>> @asset
        ... def total(numbers: list[int]) -> int:
        ...     return sum(numbers)
        >>> materialize([numbers, total])["total"].value
        3

    Raises:
        ProjectLoadError: the declarations do not fit together.
        CheckFailed: a blocking check failed.
        WrongReturn, CannotStore: a function returned what an asset cannot hold.
    """
    from assetflow.load.definitions import load_definitions
    from assetflow.plan.graph import AssetGraph

    given = dict(inputs or {})
    loaded = load_definitions(assets, given, config or {})
    graph = AssetGraph(loaded.specs)
    run = _MemoryRun(loaded, given, resources)
    try:
        done: set[str] = set()
        for key in graph.order:
            node = graph.specs[key].node
            if node in loaded.nodes and node not in done:
                done.add(node)
                run.make(loaded.nodes[node])
    finally:
        run.close()
    return MemoryResult(run.made)


class _MemoryRun:
    """One call of `materialize`: values so far, and a storage that keeps everything in the process."""

    def __init__(self, loaded: Loaded, inputs: Mapping[str, object], resources: Iterable[object]) -> None:
        from assetflow.io.storage import Storage
        from assetflow.load.live import make_resource
        from assetflow.run.resources import ResourcePool

        self.made: dict[AssetKey, MemoryAsset] = {}
        self._loaded = loaded
        self._inputs = inputs
        self._stand_ins = tuple(resources)
        self._storage: Storage = Storage(Path(os.devnull), warehouse=Path(os.devnull))
        self._staged: dict[AssetKey, Staged] = {}
        self._resources: ResourcePool = ResourcePool(lambda cls: make_resource(cls, {}))

    def close(self) -> None:
        """Tear resources down, and let go of the values."""
        for error in self._resources.close():
            raise error

    def make(self, node: LiveNode) -> None:
        """Run one function and keep what it made."""
        from assetflow.run.step import split_outputs

        metadata: dict[str, object] = {}
        given = ((b.parameter, self._argument(node, b, metadata, node.outputs[0].key)) for b in node.bindings)
        arguments = {name: value for name, value in given if value is not _ABSENT}
        try:
            value = node.function(**arguments)
        except Skip:
            for output in node.outputs:
                self.made[output.key] = MemoryAsset(output.key, None, skipped=True)
            return
        kept: dict[AssetKey, object] = {}
        recorded: dict[AssetKey, Mapping[str, object]] = {}
        for output, one in split_outputs(node, value):
            recorded[output.key] = {**metadata, **one.metadata} if isinstance(one, Result) else dict(metadata)
            kept[output.key] = one.value if isinstance(one, Result) else one
            self._staged[output.key] = self._stage(node, output, kept[output.key])
        for output in node.outputs:
            checks = tuple(self._checks(node, output))
            bad = next((check for check in checks if check.blocking and not check.passed), None)
            if bad is not None:
                raise CheckFailed(f"check `{bad.name}` of {output.key} failed: {bad.message or 'it returned False'}")
            self.made[output.key] = MemoryAsset(output.key, kept[output.key], checks, recorded[output.key])

    def _stage(self, node: LiveNode, output: LiveOutput, value: object) -> Staged:
        return self._storage.write(
            value,
            key=output.key,
            partition=UNPARTITIONED,
            io="memory",
            io_is_explicit=True,
            declared=node.return_form,
            run_id=0,
        )

    def _checks(self, node: LiveNode, output: LiveOutput) -> Iterable[CheckOutcome]:
        from assetflow.io.base import Want
        from assetflow.run.step import check_outcome, ready_outcome

        def read(columns: tuple[str, ...] | None) -> Any:
            return self._storage.read_staged(self._staged[output.key], Want("arrow", columns))

        def other(key: str, column: str) -> Any:
            return self._value(AssetKey(key), Want("arrow", (column,)))

        for ready in output.ready_checks:
            yield ready_outcome(ready, read, other)
        for check in output.custom_checks:
            given = ((b.parameter, self._argument(node, b, {}, output.key)) for b in check.bindings)
            arguments = {name: value for name, value in given if value is not _ABSENT}
            try:
                answer = check.function(**arguments)
            except Exception as error:  # a test wants to see why; a warning is not a reason to stop, here as in a run
                if check.blocking:
                    raise
                yield CheckOutcome(check.name, False, False, f"{type(error).__name__}: {error}")
            else:
                yield check_outcome(check, answer)

    def _argument(self, node: LiveNode, binding: Binding, metadata: dict[str, object], asset: AssetKey) -> object:
        from assetflow.io.base import Want
        from assetflow.model.context import Context

        if binding.kind == "asset" and binding.upstream is not None:
            return self._value(binding.upstream, Want(binding.form, binding.columns))
        if binding.kind == "context":
            return Context(asset, logging.getLogger(f"assetflow.asset.{asset}"), metadata=metadata)
        if binding.kind == "config":
            return node.config
        if binding.kind == "connection":
            return cast("object", self._storage.connection())
        if binding.kind == "resource" and binding.resource_class is not None:
            stand_ins = (one for one in self._stand_ins if isinstance(one, binding.resource_class))
            stand_in = next(stand_ins, None)
            return stand_in if stand_in is not None else self._resources.get(binding.resource_class)
        return _ABSENT

    def _value(self, key: AssetKey, want: Want) -> object:
        if key in self._staged:
            return _own(self._storage.read_staged(self._staged[key], want))
        for name in (key, last_name(key)):
            if name in self._inputs:
                return _own(self._storage.convert(self._inputs[name], want, key=key))
        source = self._loaded.sources.get(key)
        if source is not None and source.load is not None:
            return _own(self._storage.convert(source.load(), want, key=key))
        was_skipped = key in self.made and self.made[key].skipped
        raise UsageError(
            f"`{key}` is needed, but was skipped and has no value"
            if was_skipped
            else f"`{key}` is needed, but is neither among the assets nor among the inputs",
            fix=f'materialize([...], inputs={{"{last_name(key)}": value}})',
        )


def _own(value: object) -> object:
    """The value for one reader: what it changes in lists and dicts, or in a frame, nobody else sees."""
    if type(value) is list:
        return [_own(item) for item in cast("list[object]", value)]
    if type(value) is dict:
        return {name: _own(item) for name, item in cast("dict[object, object]", value).items()}
    if form_of(type(value)) == "pandas":
        return cast("Any", value).copy(deep=False)  # pandas copies what is written to
    return value


_ABSENT = object()
