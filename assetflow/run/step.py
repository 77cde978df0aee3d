"""One step: read the inputs, call the function, store what it returned aside, check it, make it durable.

This is one of the two places that may catch every exception: what the user's code raises becomes a value here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from assetflow.errors import AssetFailed, AssetflowError, CheckFailed, WrongReturn
from assetflow.files import is_of_the_disk, storage_error
from assetflow.io.base import Want
from assetflow.io.forms import value_words
from assetflow.io.sources import read_source
from assetflow.io.storage import Staged, Storage
from assetflow.load.live import Binding, LiveCheck, LiveNode, LiveOutput, Loaded
from assetflow.model.checks import CheckResult, ReadyCheck
from assetflow.model.context import Context
from assetflow.model.declare import Result, Skip
from assetflow.model.keys import UNPARTITIONED, AssetKey, last_name
from assetflow.model.records import CheckOutcome, NewVersion
from assetflow.model.secrets import SECRETS
from assetflow.model.spec import AssetSpec
from assetflow.run.capture import write_to_log, writing_to
from assetflow.run.failure import step_error
from assetflow.run.reports import StepTeller, Tell, tell_nobody
from assetflow.run.resources import ResourcePool
from assetflow.run.steplog import LOG_LIMIT
from assetflow.run.task import Made, NodeResult, Task


@dataclass(frozen=True, slots=True)
class Workbench:
    """What a worker needs besides the task: the loaded project, the storage, the resources of the run.

    `report` takes what steps tell while they run, from any thread; `is_stopping` says whether the run is to end. A log
    has at most about `log_limit` bytes. A process of its own gives its lines to `log_descriptor` instead of to a file.
    """

    root: Path
    loaded: Loaded
    specs: Mapping[AssetKey, AssetSpec]
    storage: Storage
    resources: ResourcePool
    report: Tell = tell_nobody
    is_stopping: Callable[[], bool] = bool
    log_limit: int = LOG_LIMIT
    log_descriptor: int | None = None


@dataclass(slots=True)
class _Call:
    """One call in progress: its clock and what it holds for a moment. `asset` is what the function or check is for."""

    task: Task
    node: LiveNode
    asset: AssetKey
    teller: StepTeller
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    connection: object | None = None
    metadata: dict[str, object] = field(default_factory=dict[str, object])

    def timed(self, part: str) -> _Timer:
        return _Timer(self.seconds, part)


@dataclass(frozen=True, slots=True)
class _Part:
    """One output that is written but not yet published."""

    output: LiveOutput
    staged: Staged
    metadata: Mapping[str, object]
    as_of: float | None

    @property
    def key(self) -> AssetKey:
        return self.output.key


class _Timer:
    """Adds the time of a `with` block to one of the parts of a step."""

    def __init__(self, seconds: dict[str, float], part: str) -> None:
        self._seconds, self._part = seconds, part

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._part] = self._seconds.get(self._part, 0.0) + time.perf_counter() - self._began


def run_step(bench: Workbench, task: Task) -> NodeResult:
    """Carry out a task; whatever goes wrong is in the result."""
    node = bench.loaded.nodes[task.node]
    call = _Call(
        task,
        node,
        node.outputs[0].key,
        StepTeller(task.node, task.attempt, bench.report, bench.is_stopping, SECRETS.text),
    )
    started = time.time()
    SECRETS.add_from(node.config)
    with closing(call.teller), ExitStack() as cleanup:
        try:
            _open_log(cleanup, bench, task.log_file)
            value = _compute(bench, call, cleanup)
            outputs = _store_all(bench, call, value, started)
            return NodeResult(task, started, time.time(), call.seconds, outputs)
        except Skip as skip:
            return NodeResult(task, started, time.time(), call.seconds, skipped=SECRETS.text(skip.reason or "skipped"))
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
            retry = node.retry
            is_retryable = not isinstance(error, AssetflowError) and retry is not None and retry.covers(error)
            failure = step_error(error, bench.root)
            if failure.text:
                write_to_log(failure.text)
            return NodeResult(task, started, time.time(), call.seconds, error=failure, is_retryable=is_retryable)


def _compute(bench: Workbench, call: _Call, cleanup: ExitStack) -> object:
    needs_relations = _takes_relations(call.node.bindings)
    if needs_relations:
        call.connection = _connection(bench, cleanup)
    with call.timed("load"):
        arguments = {
            binding.parameter: value
            for binding in call.node.bindings
            if (value := _argument(bench, call, binding)) is not _ABSENT
        }
    with call.timed("compute"), bench.storage.turn() if needs_relations else nullcontext():
        return call.node.function(**arguments)


def _takes_relations(bindings: Iterable[Binding]) -> bool:
    return any(binding.kind == "connection" or binding.form == "duckdb" for binding in bindings)


def _connection(bench: Workbench, cleanup: ExitStack) -> object:
    connection: Any = bench.storage.connection()
    cleanup.callback(connection.close)
    return connection


_ABSENT = object()


def _argument(bench: Workbench, call: _Call, binding: Binding) -> object:
    task = call.task
    if binding.kind == "asset" and binding.upstream is not None:
        want = Want(binding.form or "python", binding.columns, call.connection)
        return read_upstream(bench, task, binding.upstream, want)
    if binding.kind == "context":
        logger = logging.getLogger(f"assetflow.asset.{call.asset}")
        return Context(call.asset, logger, task.run_id, task.env, task.attempt, call.metadata, call.teller)
    if binding.kind == "config":
        return call.node.config
    if binding.kind == "resource" and binding.resource_class is not None:
        return bench.resources.get(binding.resource_class)
    if binding.kind == "connection":
        return call.connection
    return _ABSENT


def read_upstream(bench: Workbench, task: Task, upstream: AssetKey, want: Want) -> object:
    """What an upstream holds, at the version that the coordinator pinned."""
    observation = task.observations.get(upstream)
    if observation is None:
        return bench.storage.read(task.versions[upstream], want)
    source = bench.loaded.sources[upstream]
    if source.load is not None:
        return bench.storage.convert(source.load(), want, key=upstream)
    spec = bench.specs[upstream].source
    if spec is None:
        raise AssetFailed(f"source {upstream} has neither a path nor a load function")
    return read_source(spec, observation, want)


def _store_all(bench: Workbench, call: _Call, value: object, started: float) -> Mapping[AssetKey, Made]:
    """All outputs written, then all checked, then published: what cannot be written takes nothing else along."""
    parts: dict[AssetKey, _Part] = {}
    made: dict[AssetKey, Made] = {}
    try:
        for output, one in split_outputs(call.node, value):
            parts[output.key] = _stage(bench, call, output, one)
        with call.timed("check"):
            checks = {part.key: tuple(map(_clean, _checks(bench, call, part, parts))) for part in parts.values()}
        for part in parts.values():
            if part.key in call.task.origins:
                made[part.key] = _publish(bench, call, part, checks[part.key], started)
            else:  # it is pinned: it was made along with the others, and is not wanted
                bench.storage.discard(part.staged)
    except BaseException:
        for part in parts.values():
            if part.key not in made:
                bench.storage.discard(part.staged)
        raise
    return made


def split_outputs(node: LiveNode, value: object) -> list[tuple[LiveOutput, object]]:
    """What a function returned, taken apart by output.

    Raises:
        WrongReturn: it is not one value for each output.
    """
    if not node.several:
        return [(node.outputs[0], value)]
    keys = [output.key for output in node.outputs]
    if isinstance(value, Mapping):
        found = {str(name): one for name, one in cast("Mapping[object, object]", value).items()}
        by_name = {
            output.key: found.pop(output.key, found.pop(last_name(output.key), _ABSENT)) for output in node.outputs
        }
        missing = [key for key, one in by_name.items() if one is _ABSENT]
        if missing or found:
            raise WrongReturn(
                f"the function of {', '.join(keys)} returned "
                + (f"nothing for {', '.join(missing)}" if missing else f"more than it declares: {', '.join(found)}"),
                fix="return a mapping with one entry for each output that @assets names",
            )
        return [(output, by_name[output.key]) for output in node.outputs]
    values = cast("Sequence[object]", value) if isinstance(value, (tuple, list)) else ()
    if len(values) == len(node.outputs):
        return list(zip(node.outputs, values, strict=True))
    raise WrongReturn(
        f"the function of {', '.join(keys)} returned {value_words(cast('object', value))}; it makes {len(keys)} assets",
        fix=f"return a tuple of {len(keys)} values in this order, or a mapping by name",
    )


def _stage(bench: Workbench, call: _Call, output: LiveOutput, value: object) -> _Part:
    as_of: float | None = None
    metadata = dict(call.metadata)
    if isinstance(value, Result):
        metadata.update(value.metadata)
        if value.as_of is not None:
            if value.as_of.tzinfo is None:
                raise WrongReturn(
                    f"`{output.key}` returned Result(as_of=...) without a time zone",
                    fix="give an aware datetime, such as datetime.now(UTC)",
                )
            as_of = value.as_of.timestamp()
            metadata["assetflow/as_of"] = "given"
        value = value.value
    metadata = cast("dict[str, object]", SECRETS.value(json_metadata(metadata, output.key)))
    with call.timed("write"):
        staged = bench.storage.write(
            value,
            key=output.key,
            partition=UNPARTITIONED,
            io=output.io,
            io_is_explicit=output.io_is_explicit,
            declared=call.node.return_form,
            run_id=call.task.run_id,
        )
    return _Part(output, staged, metadata, as_of)


def _publish(
    bench: Workbench, call: _Call, part: _Part, checks: tuple[CheckOutcome, ...], started: float
) -> Made:  # fmt: skip
    staged, origin = part.staged, call.task.origins[part.key]
    as_of = part.as_of if part.as_of is not None else started if origin.as_of is None else origin.as_of
    bad = [check for check in checks if check.blocking and not check.passed]
    version: NewVersion | None = None
    is_stored, is_unread = (False, False) if bad else _look_at_current(bench, call.task, part.key, staged.data_hash)
    if bad or is_stored:
        bench.storage.discard(staged)
    else:
        with call.timed("write"):
            times = {"started_at": started, "finished_at": time.time(), "as_of": as_of}
            trace = {**origin.to_json(), "kind": "run", **times, "metadata": part.metadata}
            by = {"run": call.task.run_id, "attempt": call.task.attempt, "env": call.task.env}
            version = bench.storage.publish(staged, {"trace": trace, **by, "written_at": times["finished_at"]})
    error = step_error(_rejected(part.key, bad), bench.root) if bad else None
    return Made(
        staged.data_hash, version, staged.rows, staged.size_bytes, checks, part.metadata, as_of, error, is_unread
    )


def json_metadata(metadata: Mapping[str, object], key: AssetKey) -> dict[str, object]:
    """The metadata as it is recorded; a number of numpy is one.

    Raises:
        WrongReturn: a value is not JSON-able.
    """
    found: dict[str, object] = {}
    for name, value in metadata.items():
        is_numpy = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
        found[name] = cast("Any", value).item() if is_numpy else value
        try:
            json.dumps(found[name])
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongReturn(
                f"the metadata `{name}` of `{key}` is {value_words(value)}, which is not a JSON value",
                fix="give a number, a text, or lists and dicts of these",
            ) from error
    return found


def _look_at_current(bench: Workbench, task: Task, key: AssetKey, data_hash: str) -> tuple[bool, bool]:
    """Whether the current version has this content and sound bytes, as far as there was reason to look.

    And whether the disk did not give them, so that they may be sound all the same.
    """
    if task.present_hashes.get(key) != data_hash:
        return False, False
    suspect = task.suspects.get(key)
    problems = [] if suspect is None else bench.storage.verify(suspect, deep=True)
    return not problems, bool(problems) and all(map(is_of_the_disk, problems))


def _clean(outcome: CheckOutcome) -> CheckOutcome:
    return replace(outcome, message=SECRETS.text(outcome.message)) if outcome.message else outcome


def _rejected(key: AssetKey, bad: list[CheckOutcome]) -> CheckFailed:
    first = bad[0]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return CheckFailed(
        f"check `{first.name}` of {key} failed: {first.message or 'it returned False'}{more}",
        facts=[f"{one.name}: {one.message}" for one in bad[1:]],
    )


def _checks(bench: Workbench, call: _Call, part: _Part, parts: Mapping[AssetKey, _Part]) -> Iterator[CheckOutcome]:
    def read(columns: tuple[str, ...] | None) -> Any:
        return bench.storage.read_staged(part.staged, Want("arrow", columns))

    def other(key: str, column: str) -> Any:
        return _read_checked(bench, call, AssetKey(key), Want("arrow", (column,)), parts)

    for ready in part.output.ready_checks:
        needed = [AssetKey(str(ready.arguments["to"]))] if ready.kind == "foreign_key" else []
        yield _unread(bench, call, part.key, parts, ready, needed) or ready_outcome(ready, read, other)
    for check in part.output.custom_checks:
        needed = [binding.upstream for binding in check.bindings if binding.upstream is not None]
        unread = _unread(bench, call, part.key, parts, check, needed)
        yield unread or _custom_check(bench, replace(call, asset=part.key), check, parts)


def ready_outcome(ready: ReadyCheck, read: Callable[..., Any], other: Callable[..., Any]) -> CheckOutcome:
    """The outcome of a ready-made check; one that finds no table to look at has failed."""
    from assetflow.io.checks import evaluate

    try:
        return evaluate(ready, read, other)
    except AssetflowError as error:
        return CheckOutcome(ready.name, False, ready.blocking, error.what)


def _unread(
    bench: Workbench,
    call: _Call,
    asset: AssetKey,
    parts: Mapping[AssetKey, _Part],
    check: ReadyCheck | LiveCheck,
    needed: Iterable[AssetKey],
) -> CheckOutcome | None:
    """The outcome of a check of `asset` that needs another one without a version; None when it has all it needs.

    What is made of the checked asset cannot be built before it, so a check against that passes the first time: failing
    it would keep both from ever being built.
    """
    task = call.task
    for key in needed:
        if key in parts or key in task.versions or key in task.observations:
            continue
        is_below = all(given.upstream != key for given in bench.specs[asset].inputs)
        message = (
            f"not evaluated: {key}, which is made of {asset}, has no version yet"
            if is_below
            else f"{key} has no version yet, so the check has nothing to read"
        )
        return CheckOutcome(check.name, is_below, check.blocking, message)
    return None


def _read_checked(bench: Workbench, call: _Call, key: AssetKey, want: Want, parts: Mapping[AssetKey, _Part]) -> object:
    """What a check reads: an output of this call as it was just written, anything else as it is in the store."""
    if key in parts:
        return bench.storage.read_staged(parts[key].staged, want)
    return read_upstream(bench, call.task, key, want)


def _custom_check(bench: Workbench, call: _Call, check: LiveCheck, parts: Mapping[AssetKey, _Part]) -> CheckOutcome:
    with ExitStack() as cleanup:
        needs_relations = _takes_relations(check.bindings)
        if needs_relations and call.connection is None:
            call = replace(call, connection=_connection(bench, cleanup))
        arguments: dict[str, object] = {}
        try:
            for binding in check.bindings:
                if binding.kind == "asset" and binding.upstream is not None:
                    want = Want(binding.form or "python", binding.columns, call.connection)
                    arguments[binding.parameter] = _read_checked(bench, call, binding.upstream, want, parts)
                elif (value := _argument(bench, call, binding)) is not _ABSENT:
                    arguments[binding.parameter] = value
            with bench.storage.turn() if needs_relations else nullcontext():
                answer = check.function(**arguments)
        except AssetflowError as error:
            return CheckOutcome(check.name, False, check.blocking, error.what)
        except Exception as error:  # noqa: BLE001 - a check that raises has failed; its message is the outcome
            failure = step_error(error, bench.root)
            write_to_log(failure.text)
            place = f" ({failure.file}:{failure.line})" if failure.file else ""
            return CheckOutcome(check.name, False, check.blocking, f"{failure.type}: {failure.message}{place}")
    return check_outcome(check, answer)


def check_outcome(check: LiveCheck, answer: object) -> CheckOutcome:
    """What a check function answered, as an outcome. Anything but a bool or a `CheckResult` counts as failed."""
    if isinstance(answer, CheckResult):
        return CheckOutcome(check.name, answer.passed, check.blocking, answer.message)
    kind = type(answer)
    if kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")):  # without importing numpy
        return CheckOutcome(check.name, bool(answer), check.blocking)
    message = f"it returned {value_words(answer)} instead of True, False or a CheckResult"
    return CheckOutcome(check.name, False, check.blocking, message)


def _open_log(cleanup: ExitStack, bench: Workbench, file: Path) -> None:
    try:
        cleanup.enter_context(
            writing_to(file if bench.log_descriptor is None else bench.log_descriptor, bench.log_limit)
        )
    except OSError as error:
        raise storage_error(f"writing the log {file.name}", file, error) from error
