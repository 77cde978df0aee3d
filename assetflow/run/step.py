"""One step: read the inputs, call the function, store what it returned aside, check it, make it durable.

This is one of the two places that may catch every exception: what the user's code raises becomes a value here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.errors import AssetFailed, AssetflowError, WrongReturn
from assetflow.files import fresh_name, is_of_the_disk
from assetflow.io.base import Want
from assetflow.io.handover import FORMS, Handed
from assetflow.io.publishing import Prepared
from assetflow.io.storage import Staged, Storage
from assetflow.load.live import Binding, LiveCheck, LiveNode, LiveOutput, Loaded
from assetflow.load.slotted import node_of
from assetflow.model.checks import ReadyCheck
from assetflow.model.declare import Result, Skip
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import NOTHING_DISCOVERED, CheckOutcome, Discovered, NewVersion, Version
from assetflow.model.secrets import SECRETS
from assetflow.model.spec import AssetSpec, SourceSpec
from assetflow.run.ahead import AHEAD, Announce, Announced, Denied, is_ahead_of_large
from assetflow.run.capture import write_to_log, writing_to
from assetflow.run.checked import check_outcome, cleaned, failing, ready_outcome, rejection
from assetflow.run.discovered import Discovery
from assetflow.run.discovery import Seen, watching
from assetflow.run.failure import log_text, step_error
from assetflow.run.handover import Handing, Handover
from assetflow.run.outcome import Debugger
from assetflow.run.reports import StepTeller, Tell, tell_nobody
from assetflow.run.resources import ResourcePool
from assetflow.run.returned import given_metadata, is_lazy, json_metadata, split_outputs
from assetflow.run.steplog import LOG_LIMIT
from assetflow.run.task import Made, NodeResult, Task
from assetflow.run.timing import Timer

if TYPE_CHECKING:
    from assetflow.io.sources import FileState


class Workbench(Struct, frozen=True):
    """What a worker needs besides the task: the loaded project, the storage, the resources of the run.

    Without `discovery` it is not noted what functions open. `report` takes what steps tell while they run, from any
    thread; `is_stopping` says whether the run is to end. A log has at most about `log_limit` bytes; a process of its
    own gives its lines to `log_descriptor` instead of to a file.
    """

    root: Path
    loaded: Loaded
    specs: Mapping[AssetKey, AssetSpec]
    storage: Storage
    resources: ResourcePool
    handover: Handing = field(default_factory=Handover)
    discovery: Discovery | None = None
    report: Tell = tell_nobody
    is_stopping: Callable[[], bool] = bool
    log_limit: int = LOG_LIMIT
    log_descriptor: int | None = None
    debugger: Debugger | None = None

    def look(self, asset: AssetKey, error: BaseException) -> None:
        """Let the debugger look at an exception of the user's code, if there is one."""
        if self.debugger is not None and not isinstance(error, (AssetflowError, KeyboardInterrupt)):
            self.debugger(asset, error)


class _Call(Struct):
    """One call in progress: its clock and what it holds for a moment. `asset` is what the function or check is for.

    `turn` is held until the function is done with the connection that others share. `seen` is what the function does
    meanwhile, `discovered` what is recorded of that, with states of files.
    """

    task: Task
    node: LiveNode
    asset: AssetKey
    teller: StepTeller
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    connection: object | None = None
    turn: ExitStack = field(default_factory=ExitStack)
    metadata: dict[str, object] = field(default_factory=dict[str, object])
    seen: Seen | None = None
    discovered: Discovered = NOTHING_DISCOVERED
    files: tuple[FileState, ...] = ()

    def timed(self, part: str) -> Timer:
        return Timer(self.seconds, part)


class _Part(Struct):
    """One output that is not yet published. `handed` is its value where others take it from memory."""

    output: LiveOutput
    value: object
    metadata: Mapping[str, object]
    as_of: float | None
    handed: Handed | None = None
    staged: Staged | None = None

    @property
    def key(self) -> AssetKey:
        return self.output.key


def run_step(bench: Workbench, task: Task, announce: Announce | None = None) -> NodeResult:
    """Carry out a task; whatever goes wrong is in the result. `announce` is told what is made before it is written."""
    node = node_of(bench.loaded, task.node, task.slots)
    made = (bench.specs[output.key] for output in node.outputs)
    seen = None if bench.discovery is None else bench.discovery.begin(made)
    teller = StepTeller(task.node, task.attempt, bench.report, bench.is_stopping, SECRETS.text)
    call = _Call(task, node, node.outputs[0].key, teller, seen=seen)
    started = time.time()
    SECRETS.add_from(node.config)
    with closing(call.teller), ExitStack() as cleanup:
        try:
            log = task.log_file if bench.log_descriptor is None else bench.log_descriptor
            cleanup.enter_context(writing_to(log, bench.log_limit))
            # Nobody here keeps what was returned: it is let go of as soon as it is in memory of its own.
            outputs = _store_all(bench, call, _compute(bench, call, cleanup), started, announce)
            ended = time.time()
            return NodeResult(
                call.task, started, ended, call.seconds, outputs, discovered=call.discovered, files=call.files
            )  # fmt: skip
        except Denied:
            return NodeResult(task, started, time.time(), call.seconds, is_denied=True)
        except Skip as skip:
            return NodeResult(task, started, time.time(), call.seconds, skipped=SECRETS.text(skip.reason or "skipped"))
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
            call.turn.close()
            retry = node.retry
            is_retryable = not isinstance(error, AssetflowError) and retry is not None and retry.covers(error)
            is_retryable = is_retryable and bench.debugger is None  # who has looked at it wants it to be over
            bench.look(call.asset, error)
            failure = step_error(error, bench.root)
            try:
                _await_permit(call)  # what was read has its numbers then, or is thrown away, and so is the failure
            except Denied:
                return NodeResult(task, started, time.time(), call.seconds, is_denied=True)
            write_to_log(log_text(failure) + call.task.inputs_text)
            return NodeResult(call.task, started, time.time(), call.seconds, error=failure, is_retryable=is_retryable)


def _compute(bench: Workbench, call: _Call, cleanup: ExitStack) -> object:
    takes_turns = _takes_turns(call.node)
    if takes_turns:
        call.connection = cleanup.enter_context(bench.storage.connection())
    with call.timed("load"):
        arguments = {
            binding.parameter: value
            for binding in call.node.bindings
            if (value := _argument(bench, call, binding)) is not _ABSENT
        }
    cleanup.enter_context(call.turn)
    with call.timed("compute"), watching(call.seen):
        if takes_turns:
            call.turn.enter_context(bench.storage.turn())
        value = call.node.function(**arguments)
    if not is_lazy(value):
        call.turn.close()
    return value


def _takes_turns(code: LiveNode | LiveCheck) -> bool:
    """Whether a function may use the connection that `duckdb.sql` uses."""
    return code.shares_duckdb or any(binding.is_of_duckdb for binding in code.bindings)


_ABSENT = object()


def _argument(bench: Workbench, call: _Call, binding: Binding) -> object:
    task = call.task
    if binding.kind == "asset" and binding.upstream is not None:
        want = Want(binding.form or "python", binding.columns, call.connection)
        version = task.versions.get(binding.upstream)
        kept = None if version is None else bench.handover.take(version, task.node, want)
        if kept is None and version is not None and version.location.startswith(AHEAD):
            raise Denied  # it gave way to others, and is not in the store yet
        return read_upstream(bench, task, binding.upstream, want) if kept is None else kept
    if binding.parts:
        from assetflow.io.parts import read_parts
        from assetflow.io.sources import read_sources

        want = Want(binding.form or "python", binding.columns, call.connection)
        if (first := binding.parts[0]) not in task.observations:
            return read_parts(bench.storage, [task.versions[one] for one in binding.parts], want)
        return read_sources([(_files_of(bench, one), task.observations[one]) for one in binding.parts], want, first)
    if binding.kind == "nothing" and not binding.optional:
        return None
    if binding.kind == "partition":
        return call.node.partition
    if binding.kind == "context":
        from assetflow.model.context import Context

        logger = logging.getLogger(f"assetflow.asset.{call.asset}")
        asset, partition = split_slot(call.asset)[0], call.node.partition
        return Context(asset, logger, task.run_id, task.env, task.attempt, call.metadata, call.teller, partition)
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
    source = bench.loaded.sources[split_slot(upstream)[0]]
    if source.load is not None:
        with bench.storage.turn() if split_slot(upstream)[0] in bench.loaded.sharing else nullcontext():
            return bench.storage.convert(source.load(), want, key=upstream)
    from assetflow.io.sources import read_source

    return read_source(_files_of(bench, upstream), observation, want)


def _files_of(bench: Workbench, source: AssetKey) -> SourceSpec:
    spec = bench.specs[source].source
    if spec is None:
        raise AssetFailed(f"source {source} has neither a path nor a load function")
    return spec


def _store_all(
    bench: Workbench, call: _Call, value: object, started: float, announce: Announce | None
) -> Mapping[AssetKey, Made]:  # fmt: skip
    """All outputs written, then all checked, then published: what cannot be written takes nothing else along.

    What is all in memory is checked there first, and announced: others may go on with it while it is written.
    """
    parts = {
        output.key: _part(bench, call, output, one) for output, one in split_outputs(call.node, value, bench.storage)
    }
    del value
    made: dict[AssetKey, Made] = {}
    is_early = all(part.handed is not None and _is_checked_in_memory(part, parts) for part in parts.values())
    try:
        if not is_early:
            with watching(call.seen):  # what a generator yields is computed while it is written
                _write(bench, call, parts.values())
        call.turn.close()
        _settle_seen(bench, call)
        with call.timed("check"):
            checks = {part.key: tuple(map(cleaned, _checks(bench, call, part, parts))) for part in parts.values()}
        if is_early:
            if announce is not None and not any(map(failing, checks.values())):
                announce(Announced(call.task, _announced(bench, parts.values())))
            if any(part.handed is not None and part.handed.is_being_stored for part in parts.values()):
                _await_permit(call)  # what is being written there need not be encoded here
            _write(bench, call, parts.values())
        _await_permit(call)
        for part in parts.values():
            if part.key in call.task.origins:
                made[part.key] = _publish(bench, call, part, checks[part.key], started)
            elif part.staged is not None:  # it is pinned: it was made along with the others, and is not wanted
                bench.storage.discard(part.staged)
    except BaseException:
        for part in parts.values():
            if part.staged is not None and (part.key not in made or made[part.key].prepared is not None):
                bench.storage.discard(part.staged)
        raise
    return made


def _settle_seen(bench: Workbench, call: _Call) -> None:
    """Look at what the function opened, before anything that depends on it is published."""
    if bench.discovery is None or call.seen is None:
        return
    specs = [bench.specs[output.key] for output in call.node.outputs]
    read = {given.upstream for spec in specs for given in spec.inputs}
    sources = [one for key, one in call.task.observations.items() if key in read]
    call.discovered, call.files = bench.discovery.settle(call.seen, specs, sources)


def _is_checked_in_memory(part: _Part, parts: Collection[AssetKey]) -> bool:
    """Whether the checks of an output read this call's outputs in forms that come from memory."""
    return all(
        (binding.form or "python") in FORMS
        for check in part.output.custom_checks
        for binding in check.bindings
        if binding.upstream in parts
    )


def _announced(bench: Workbench, parts: Iterable[_Part]) -> dict[AssetKey, Version]:
    """The outputs that others wait for, as versions whose value is only in memory, where it is put."""
    found: dict[AssetKey, Version] = {}
    for part in parts:
        if part.handed is not None and bench.handover.wants(part.key):
            version = found[part.key] = part.handed.version(f"{AHEAD}{fresh_name()}")
            bench.handover.offer(part.key, version.location, part.handed)
    return found


def _await_permit(call: _Call) -> None:
    """Go on when the inputs of a call that was started ahead are committed.

    Raises:
        Denied: they were not.
    """
    if call.task.permit is not None:
        origins = call.task.permit.wait()
        if origins is None:
            raise Denied
        call.task = replace(call.task, origins=origins, permit=None)


def _part(bench: Workbench, call: _Call, output: LiveOutput, value: object) -> _Part:
    as_of: float | None = None
    metadata = dict(call.metadata)
    if isinstance(value, Result):
        metadata.update(given_metadata(value, output.key))
        if value.as_of is not None:
            if getattr(value.as_of, "tzinfo", None) is None:
                raise WrongReturn(
                    f"`{output.key}` returned Result(as_of=...) without a time zone",
                    fix="give an aware datetime, such as datetime.now(UTC)",
                )
            as_of = value.as_of.timestamp()
            metadata["assetflow/as_of"] = "given"
        value = value.value
    clean = cast("dict[str, object]", SECRETS.value(json_metadata(metadata, output.key)))
    part = _Part(output, value, clean, as_of)
    if bench.handover.wants(output.key) or is_ahead_of_large(call.task):
        with call.timed("write"):
            part.handed = bench.storage.hand_on(
                value,
                key=output.key, io=output.io, io_is_explicit=output.io_is_explicit,
                declared=call.node.return_form, most_bytes=bench.handover.most_bytes,
            )  # fmt: skip
            part.value = value if part.handed is None else None
    return part


def _write(bench: Workbench, call: _Call, parts: Iterable[_Part]) -> None:
    for part in parts:
        value, part.value = part.value, None
        with call.timed("write"):
            part.staged = bench.storage.write(
                value if part.handed is None else part.handed,
                key=split_slot(part.key)[0], partition=split_slot(part.key)[1],
                io=part.output.io, io_is_explicit=part.output.io_is_explicit, declared=call.node.return_form,
                run_id=call.task.run_id, is_synced_later=call.task.is_put_off, inputs=call.task.versions.values(),
            )  # fmt: skip


def _publish(
    bench: Workbench, call: _Call, part: _Part, checks: tuple[CheckOutcome, ...], started: float
) -> Made:  # fmt: skip
    staged, origin = _staged(part), call.task.origins[part.key]
    as_of = part.as_of if part.as_of is not None else started if origin.as_of is None else origin.as_of
    bad = failing(checks)
    version: NewVersion | None = None
    prepared: Prepared | None = None
    known = call.task.rejected.get(part.key, {}).get(staged.data_hash) if bad else None
    if bad:  # kept to be looked at, unless there is nothing to see, or the same content was refused before
        is_stored = staged.io == "none" or (known is not None and bench.storage.exists(known))
        is_unread, known = False, known if is_stored else None
    else:
        is_stored, is_unread = _look_at_current(bench, call.task, part.key, staged.data_hash)
    if is_stored:
        bench.storage.discard(staged)
    else:
        with call.timed("write"):
            times = {"started_at": started, "finished_at": time.time(), "as_of": as_of}
            trace = {**origin.to_json(), "kind": "reject" if bad else "run", **times, "metadata": part.metadata}
            if call.discovered:
                trace["discovered"] = call.discovered.to_json()
            by = {"run": call.task.run_id, "attempt": call.task.attempt, "env": call.task.env}
            made = {"trace": trace, **by, "written_at": times["finished_at"]}
            if call.task.is_put_off and isinstance(found := bench.storage.prepare(staged, made), Prepared):
                prepared, version = found, found.version
            else:
                version = bench.storage.publish(staged, made)
        if part.handed is not None and not bad:
            bench.handover.offer(part.key, version.location, part.handed)
    error = step_error(rejection(part.key, bad), bench.root) if bad else None
    return Made(
        staged.data_hash, version, staged.rows, staged.size_bytes, checks, part.metadata, as_of, error, is_unread,
        None if known is None else known.number, prepared,
    )  # fmt: skip


def _look_at_current(bench: Workbench, task: Task, key: AssetKey, data_hash: str) -> tuple[bool, bool]:
    """Whether the current version has this content and sound bytes, as far as there was reason to look.

    And whether the disk did not give them, so that they may be sound all the same.
    """
    if task.present_hashes.get(key) != data_hash:
        return False, False
    suspect = task.suspects.get(key)
    problems = [] if suspect is None else bench.storage.verify(suspect, deep=True)
    return not problems, bool(problems) and all(map(is_of_the_disk, problems))


def _checks(bench: Workbench, call: _Call, part: _Part, parts: Mapping[AssetKey, _Part]) -> Iterator[CheckOutcome]:
    def read(columns: tuple[str, ...] | None) -> Any:
        return _read_part(bench, part, Want("arrow", columns))

    def other(key: str, column: str) -> Any:
        return _read_checked(bench, call, AssetKey(key), Want("arrow", (column,)), parts)

    for ready in part.output.ready_checks:
        needed = [AssetKey(str(ready.arguments["to"]))] if ready.kind == "foreign_key" else []
        yield _unread(bench, call, part.key, parts, ready, needed) or ready_outcome(ready, read, other)
    for check in part.output.custom_checks:
        needed = [binding.upstream for binding in check.bindings if binding.upstream is not None]
        unread = _unread(bench, call, part.key, parts, check, needed)
        yield unread or _custom_check(bench, replace(call, asset=part.key), check, parts)


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
        return _read_part(bench, parts[key], want)
    return read_upstream(bench, call.task, key, want)


def _read_part(bench: Workbench, part: _Part, want: Want) -> object:
    """An output of this call as readers will get it."""
    if part.handed is not None and want.form in FORMS:
        return part.handed.read(want)
    return bench.storage.read_staged(_staged(part), want)


def _staged(part: _Part) -> Staged:
    assert part.staged is not None, "it is written before it is looked at in the store"
    return part.staged


def _custom_check(bench: Workbench, call: _Call, check: LiveCheck, parts: Mapping[AssetKey, _Part]) -> CheckOutcome:
    with ExitStack() as cleanup:
        takes_turns = _takes_turns(check)
        if takes_turns:  # what the function left in its catalog is none of the check's business
            call = replace(call, connection=cleanup.enter_context(bench.storage.connection()))
        arguments: dict[str, object] = {}
        try:
            for binding in check.bindings:
                if binding.kind == "asset" and binding.upstream is not None:
                    want = Want(binding.form or "python", binding.columns, call.connection)
                    arguments[binding.parameter] = _read_checked(bench, call, binding.upstream, want, parts)
                elif (value := _argument(bench, call, binding)) is not _ABSENT:
                    arguments[binding.parameter] = value
            with bench.storage.turn() if takes_turns else nullcontext():
                answer = check.function(**arguments)
        except AssetflowError as error:
            return CheckOutcome(check.name, False, check.blocking, error.what)
        except Exception as error:  # noqa: BLE001 - a check that raises has failed; its message is the outcome
            bench.look(call.asset, error)
            failure = step_error(error, bench.root)
            write_to_log(failure.text)
            place = f" ({failure.file}:{failure.line})" if failure.file else ""
            return CheckOutcome(check.name, False, check.blocking, f"{failure.type}: {failure.message}{place}")
    return check_outcome(check, answer)
