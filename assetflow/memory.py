"""Assets in memory, for unit tests and notebooks: no project, no files, no threads, about a millisecond an asset."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Mapping, Sized
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from assetflow.errors import AssetflowError, CheckFailed, UsageError, did_you_mean
from assetflow.io.forms import form_of
from assetflow.model.context import Context
from assetflow.model.declare import AssetLike, Result, Skip
from assetflow.model.keys import UNPARTITIONED, AssetKey, find_key, last_name
from assetflow.model.records import CheckOutcome

if TYPE_CHECKING:
    from assetflow.io.base import Want
    from assetflow.io.connection import OwnConnection
    from assetflow.io.storage import Staged, Storage
    from assetflow.load.live import Binding, LiveCheck, LiveNode, LiveOutput, Loaded
    from assetflow.run.resources import ResourcePool


class MemoryAsset(Struct, frozen=True):
    """What one asset made: its `value` as the function returned it, and how its checks went."""

    key: AssetKey
    value: object
    checks: tuple[CheckOutcome, ...] = ()
    metadata: Mapping[str, object] | None = None
    skipped: bool = False

    def __repr__(self) -> str:
        return f"<MemoryAsset {self._words()}>"

    def _words(self) -> str:
        if self.skipped:
            return f"{self.key}: skipped"
        failed = [check.name for check in self.checks if not check.passed]
        return f"{self.key}: {_size_words(self.value)}" + (f", failed {', '.join(failed)}" if failed else "")


class MemoryResult(Struct, frozen=True):
    """The assets that were made, by key."""

    assets: Mapping[AssetKey, MemoryAsset]

    def __getitem__(self, key: str) -> MemoryAsset:
        found = find_key(key, self.assets)
        if found is None:
            raise KeyError(f"{key} was not materialized; {did_you_mean(key, self.assets) or ', '.join(self.assets)}")
        return self.assets[found]

    def __repr__(self) -> str:
        made = [repr(asset).removeprefix("<MemoryAsset ").removesuffix(">") for asset in self.assets.values()]
        more = [f"{len(made) - _NAMED} more"] if len(made) > _NAMED else []
        return f"<MemoryResult {'; '.join([*made[:_NAMED], *more]) or 'of nothing'}>"

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
    asset key, `resources` stands in for resource classes by type. A function with `retry=` is tried again as often as
    in a run, but at once: its `delay` is not waited for. The exception of the last attempt reaches the caller as it
    is; so does the failure of a blocking check.

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
    __tracebackhide__ = True  # here and below: pytest then shows the caller's line and the asset's function, not these
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
        self._connection: object | None = None
        self._resources: ResourcePool = ResourcePool(lambda cls: make_resource(cls, {}))

    def close(self) -> None:
        """Tear resources down, and let go of the values."""
        for error in self._resources.close():
            raise error

    def make(self, node: LiveNode) -> None:
        """Run one function and keep what it made."""
        __tracebackhide__ = True
        try:
            kept, recorded = self._attempts(node)
        except Skip:
            for output in node.outputs:
                self.made[output.key] = MemoryAsset(output.key, None, skipped=True)
            return
        for output in node.outputs:
            checks = tuple(self._checks(node, output))
            bad = next((check for check in checks if check.blocking and not check.passed), None)
            if bad is not None:
                raise CheckFailed(f"check `{bad.name}` of {output.key} failed: {bad.message or 'it returned False'}")
            self.made[output.key] = MemoryAsset(output.key, kept[output.key], checks, recorded[output.key])

    def _attempts(self, node: LiveNode) -> tuple[dict[AssetKey, object], dict[AssetKey, Mapping[str, object]]]:
        """The values and the metadata of one function by key, from the first attempt that succeeds."""
        __tracebackhide__ = True
        retry, attempt = node.retry, 1
        while True:
            try:
                return self._attempt(node, attempt)
            except (Skip, AssetflowError):
                raise
            except Exception as error:  # whether another attempt is due depends on the user's error
                if retry is None or attempt > retry.times or not retry.covers(error):
                    raise
            attempt += 1

    def _attempt(
        self, node: LiveNode, attempt: int
    ) -> tuple[dict[AssetKey, object], dict[AssetKey, Mapping[str, object]]]:
        __tracebackhide__ = True
        from assetflow.run.returned import split_outputs

        metadata: dict[str, object] = {}
        kept: dict[AssetKey, object] = {}
        recorded: dict[AssetKey, Mapping[str, object]] = {}
        with self._own_connection(node.bindings) as own:
            given = self._arguments(node, node.bindings, metadata, node.outputs[0].key, attempt)
            with nullcontext() if own is None else self._storage.turn():
                value = node.function(**given)
            for output, one in split_outputs(node, value):
                recorded[output.key] = {**metadata, **one.metadata} if isinstance(one, Result) else dict(metadata)
                kept[output.key] = one.value if isinstance(one, Result) else one
                self._staged[output.key] = self._stage(node, output, kept[output.key])
            if own is not None and any(form_of(type(one)) == "duckdb" for one in kept.values()):
                own.keep()  # the caller is given the relation as it is, and may still read it
        return kept, recorded

    @contextmanager
    def _own_connection(self, bindings: Iterable[Binding]) -> Generator[OwnConnection | None]:
        """The connection of a function that takes one, or relations, in `self._connection`."""
        if not any(binding.is_of_duckdb for binding in bindings):
            yield None
            return
        own, outer = self._storage.connection(), self._connection
        with own as connection:
            self._connection = connection
            try:
                yield own
            finally:
                self._connection = outer

    def _stage(self, node: LiveNode, output: LiveOutput, value: object) -> Staged:
        __tracebackhide__ = True
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
        __tracebackhide__ = True
        from assetflow.io.base import Want
        from assetflow.run.checked import check_outcome, ready_outcome

        def read(columns: tuple[str, ...] | None) -> Any:
            return self._storage.read_staged(self._staged[output.key], Want("arrow", columns))

        def other(key: str, column: str) -> Any:
            return self._value(AssetKey(key), Want("arrow", (column,)))

        for ready in output.ready_checks:
            yield ready_outcome(ready, read, other)
        for check in output.custom_checks:
            try:
                answer = self._answer(node, check, output.key)
            except Exception as error:  # a test wants to see why; a warning is not a reason to stop, here as in a run
                if check.blocking:
                    raise
                yield CheckOutcome(check.name, False, False, f"{type(error).__name__}: {error}")
            else:
                yield check_outcome(check, answer)

    def _answer(self, node: LiveNode, check: LiveCheck, asset: AssetKey) -> object:
        __tracebackhide__ = True
        with self._own_connection(check.bindings) as own:
            arguments = self._arguments(node, check.bindings, {}, asset)
            with nullcontext() if own is None else self._storage.turn():
                return check.function(**arguments)

    def _arguments(
        self,
        node: LiveNode,
        bindings: Iterable[Binding],
        metadata: dict[str, object],
        asset: AssetKey,
        attempt: int = 1,
    ) -> dict[str, object]:
        __tracebackhide__ = True
        arguments: dict[str, object] = {}
        for binding in bindings:
            if binding.kind == "context":
                logger = logging.getLogger(f"assetflow.asset.{asset}")
                arguments[binding.parameter] = Context(asset, logger, attempt=attempt, metadata=metadata)
            elif (value := self._argument(node, binding)) is not _ABSENT:
                arguments[binding.parameter] = value
        return arguments

    def _argument(self, node: LiveNode, binding: Binding) -> object:
        __tracebackhide__ = True
        from assetflow.io.base import Want

        if binding.kind == "asset" and binding.upstream is not None:
            return self._value(binding.upstream, Want(binding.form, binding.columns, self._connection))
        if binding.kind == "config":
            return node.config
        if binding.kind == "connection":
            return self._connection
        if binding.kind == "resource" and binding.resource_class is not None:
            stand_ins = (one for one in self._stand_ins if isinstance(one, binding.resource_class))
            stand_in = next(stand_ins, None)
            return stand_in if stand_in is not None else self._resources.get(binding.resource_class)
        return _ABSENT

    def _value(self, key: AssetKey, want: Want) -> object:
        __tracebackhide__ = True
        if key in self._staged:
            return self._storage.read_staged(self._staged[key], want)
        for name in (key, last_name(key)):
            if name in self._inputs:
                return self._storage.convert(self._inputs[name], want, key=key)
        source = self._loaded.sources.get(key)
        if source is not None and source.load is not None:
            return self._storage.convert(source.load(), want, key=key)
        was_skipped = key in self.made and self.made[key].skipped
        raise UsageError(
            f"`{key}` is needed, but was skipped and has no value"
            if was_skipped
            else f"`{key}` is needed, but is neither among the assets nor among the inputs",
            fix=f'materialize([...], inputs={{"{last_name(key)}": value}})',
        )


def _size_words(value: object) -> str:
    """The type of a value, and the number of its rows or items where counting them costs nothing."""
    name = type(value).__name__
    if isinstance(value, (list, tuple, dict)) or form_of(type(value)) in ("pandas", "arrow", "polars"):
        return f"{name} of {len(cast('Sized', value))}"
    return "nothing" if value is None else name


_NAMED = 8
"""How many assets the `repr` of a result names."""

_ABSENT = object()
