"""What people write: `@asset`, `@assets`, `source`, and the small values that go with them.

A decorated function stays the plain function it was; the definition hangs on it as an attribute and nothing is
registered anywhere. A project finds definitions by looking at what its modules contain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar, cast, overload

from msgspec import Struct, field

from assetflow.model.auto import Auto, auto_of
from assetflow.model.checks import CheckDefinition, ReadyCheck
from assetflow.model.durations import seconds
from assetflow.model.policies import Cue, Freshness, Limits, Pools, Retry, cue_of, limits

if TYPE_CHECKING:
    from assetflow.partitions.definition import Definition as Partitions

F = TypeVar("F", bound=Callable[..., object])

ATTRIBUTE = "__assetflow__"
"""The attribute of a function that holds its definition."""


class Result(Struct, frozen=True):
    """A returned value with more to record: `metadata` (JSON-able values) and the data's own time `as_of` (aware)."""

    value: object
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    as_of: datetime | None = None


class Skip(Exception):
    """Raise this in an asset to keep the last version: the step counts as skipped, not as failed."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)  # an exception is a handy reason too


class Out(Struct, frozen=True):
    """One output of `@assets`: a key and the settings that can differ between outputs; None takes the function's."""

    key: str
    description: str | None = None
    io: str | None = None
    checks: tuple[ReadyCheck, ...] = ()
    freshness: Freshness | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


class Counts(Struct, frozen=True):
    """What counts for a function beside its code and its inputs; see `asset`."""

    files: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    code_version: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    cue: Cue | None = None


class Batching(Struct, frozen=True):
    """How many partitions a call makes at most (None: all that stand side by side), and which columns tell them apart.

    `columns` are by axis; of a definition without axes the name of the axis is empty.
    """

    size: int | None
    columns: Mapping[str, str]


class AssetDefinition(Struct, frozen=True):
    """What `@asset` and `@assets` attached to a function; None means: take the default of group or project."""

    function: Callable[..., object]
    outputs: tuple[Out, ...]
    several: bool
    group: str | None
    owners: tuple[str, ...] | None
    tags: Mapping[str, str]
    io: str | None
    inputs: Mapping[str, str]
    deps: tuple[AssetLike, ...]
    retry: Retry | None
    counts: Counts
    limits: Limits
    partitions: Partitions | None
    batch: Batching | None
    file: str
    line: int
    auto: Auto | None = None


class SourceDefinition(Struct, frozen=True):
    """Data that is made elsewhere; see `source`."""

    key: str
    path: str | None
    format: str | None
    version: Callable[[], object] | None
    load: Callable[[], object] | None
    as_of: Callable[[], datetime] | None
    ttl_s: float | None
    options: Mapping[str, object]
    group: str | None
    owners: tuple[str, ...] | None
    tags: Mapping[str, str]
    description: str
    freshness: Freshness | None
    partitions: Partitions | None
    file: str
    line: int

    def __repr__(self) -> str:
        return f"source({self.key!r})"


Packages = str | Mapping[str, str]
"""Which upgrades count: `compatible`, `minor`, `exact` or `ignore`, for all packages or for each by its name."""

AssetLike = str | Callable[..., object] | SourceDefinition
"""How one declaration names another: by key, by decorated function, or by source."""

Definition = AssetDefinition | SourceDefinition | CheckDefinition


@overload
def asset(function: F, /) -> F: ...
@overload
def asset(
    *,
    key: str | None = None,
    group: str | None = None,
    owners: Iterable[str] | None = None,
    tags: Mapping[str, str] | Iterable[str] = (),
    description: str | None = None,
    io: str | None = None,
    inputs: Mapping[str, AssetLike] | None = None,
    deps: Iterable[AssetLike] = (),
    checks: Iterable[ReadyCheck] = (),
    freshness: Freshness | None = None,
    retry: Retry | int | None = None,
    files: Iterable[str] = (),
    env: Iterable[str] = (),
    code_version: str | int | None = None,
    packages: Packages | None = None,
    cue: Cue | str | None = None,
    timeout: str | float | timedelta | None = None,
    memory: str | int | None = None,
    isolation: str | None = None,
    pool: Pools | None = None,
    partitions: Partitions | None = None,
    batch: bool | int = False,
    partition_column: str | Mapping[str, str] | None = None,
    on_code_change: str = "rebuild",
    auto: Auto | str | None = None,
) -> Callable[[F], F]: ...
def asset(  # noqa: PLR0913 - what can be said about it, all by keyword
    function: F | None = None,
    /,
    *,
    key: str | None = None,
    group: str | None = None,
    owners: Iterable[str] | None = None,
    tags: Mapping[str, str] | Iterable[str] = (),
    description: str | None = None,
    io: str | None = None,
    inputs: Mapping[str, AssetLike] | None = None,
    deps: Iterable[AssetLike] = (),
    checks: Iterable[ReadyCheck] = (),
    freshness: Freshness | None = None,
    retry: Retry | int | None = None,
    files: Iterable[str] = (),
    env: Iterable[str] = (),
    code_version: str | int | None = None,
    packages: Packages | None = None,
    cue: Cue | str | None = None,
    timeout: str | float | timedelta | None = None,
    memory: str | int | None = None,
    isolation: str | None = None,
    pool: Pools | None = None,
    partitions: Partitions | None = None,
    batch: bool | int = False,
    partition_column: str | Mapping[str, str] | None = None,
    on_code_change: str = "rebuild",
    auto: Auto | str | None = None,
) -> F | Callable[[F], F]:
    """Declare a function as an asset: what it returns is stored as a new version under its key.

    Each parameter is an upstream asset of that name, unless its annotation is `Context`, a `Config` or a `Resource`
    class, or DuckDB's connection class. The key defaults to the function's name, the description to the first line
    of its docstring, the group to the last part of its module's name.

    An asset is stale when its code, its config or what it reads has changed. More can be declared to count: `files`,
    paths or globs below the project whose content does; `env`, names of environment variables (their values are never
    stored, only keyed digests). `packages` says which upgrades of the packages behind the code count: `compatible` (the
    default: a new major version does, or a new minor one before 1.0), `minor`, `exact`, `ignore`, or one of these for
    each package. `code_version` stands for the code: only another one makes the asset stale, whatever was edited.
    `cue` leaves things out, or says `always` or `never`; see `Cue`.

    `timeout` ("10m") and `memory` ("2GB") bound the computation, which then has a process of its own; so has one with
    `isolation="process"`. `pool` names the pool whose slots it takes meanwhile, or says how many slots of which pools.

    With `partitions`, such as `Daily("2026-01-01")`, the function is called once for each partition, which is versioned
    by itself; a parameter annotated `Partition` says which one it is. An upstream with the same partitions arrives as
    that partition, one without partitions as a whole. With `batch=True`, or a number of partitions, it is called for
    ranges instead, and its rows are told apart by `partition_column`, or a column for each axis.
    With `on_code_change="forward"` an edit is for partitions that are made after it: those that were made before stay
    current, until something else makes them stale. With `"ask"` they stay as well, and are undecided until somebody
    says what the edit is for.

    With `auto`, the daemon makes the asset: `"eager"` whenever it is stale, `"missing"` only when it has no version,
    `cron("0 6 * * *")` at these times when it is stale. What it reads has to be current, or made with it.

    Example:
        >>> @asset(group="staging")
        ... def clean(raw: list[int]) -> list[int]:
        ...     return [value for value in raw if value >= 0]
        >>> clean([3, -1])
        [3]
    """

    def attach(fn: F) -> F:
        text = first_line(fn.__doc__) if description is None else description
        output = Out(key or fn.__name__, text, None, tuple(checks), freshness)
        cues = cue_of(cue, on_code_change, has_partitions=partitions is not None)
        counts = _counts(files, env, code_version, packages, cues)
        bounds = limits(timeout, memory, isolation, pool)
        found = _asset_definition(
            fn, (output,), False, group, owners, tags, io, inputs, deps, retry, counts, bounds, partitions,
            _batching(batch, partition_column), auto_of(auto),
        )  # fmt: skip
        attach_definition(fn, found)
        return fn

    return attach if function is None else attach(function)


def assets(  # noqa: PLR0913 - what can be said about it, all by keyword
    *outputs: str | Out,
    group: str | None = None,
    owners: Iterable[str] | None = None,
    tags: Mapping[str, str] | Iterable[str] = (),
    io: str | None = None,
    inputs: Mapping[str, AssetLike] | None = None,
    deps: Iterable[AssetLike] = (),
    retry: Retry | int | None = None,
    files: Iterable[str] = (),
    env: Iterable[str] = (),
    code_version: str | int | None = None,
    packages: Packages | None = None,
    cue: Cue | str | None = None,
    timeout: str | float | timedelta | None = None,
    memory: str | int | None = None,
    isolation: str | None = None,
    pool: Pools | None = None,
    partitions: Partitions | None = None,
) -> Callable[[F], F]:
    """Declare a function that makes several assets: it returns a mapping by key (or last name), or a tuple in order.

    The function runs once for all its outputs; each output is versioned, checked and cut off by itself.

    Example:
        >>> @assets("paid", "unpaid")
        ... def split(orders: list[dict[str, object]]) -> dict[str, object]:
        ...     return {"paid": [o for o in orders if o["paid"]], "unpaid": [o for o in orders if not o["paid"]]}
    """
    if not outputs:
        raise ValueError('assets() takes at least one output: @assets("a", "b")')
    outs = tuple(Out(output) if isinstance(output, str) else output for output in outputs)

    def attach(fn: F) -> F:
        text = first_line(fn.__doc__)
        filled = tuple(
            Out(
                out.key,
                text if out.description is None else out.description,
                out.io,
                out.checks,
                out.freshness,
                out.tags,
            )
            for out in outs
        )
        counts = _counts(files, env, code_version, packages, cue)
        bounds = limits(timeout, memory, isolation, pool)
        found = _asset_definition(
            fn, filled, True, group, owners, tags, io, inputs, deps, retry, counts, bounds, partitions
        )  # fmt: skip
        attach_definition(fn, found)
        return fn

    return attach


def source(  # noqa: PLR0913 - what can be said about it, all by keyword
    key: str,
    *,
    path: str | None = None,
    format: str | None = None,
    version: Callable[[], object] | None = None,
    load: Callable[[], object] | None = None,
    as_of: Callable[[], datetime] | None = None,
    ttl: str | float | timedelta | None = None,
    group: str | None = None,
    owners: Iterable[str] | None = None,
    tags: Mapping[str, str] | Iterable[str] = (),
    description: str = "",
    freshness: Freshness | None = None,
    partitions: Partitions | None = None,
    **options: object,
) -> SourceDefinition:
    """Declare data that is made elsewhere.

    `path`: a file, or a glob (`data/orders-*.csv`, read as one table in file-name order), relative to the project.
    Its version is the content. `format` is csv, tsv, parquet, json, jsonl, arrow, or `file` for anything else; by
    default it follows from the file's ending. `options` go to the reader of the format (csv: `delimiter`, `nulls`,
    `types`, `encoding`, `header`).
    `version`: a function that returns a token (an ETag, a maximum of `updated_at`); a new token is a new version.
    With `load`, a function that returns the data, assets can take the source as a parameter.
    `ttl`: how long an observation of `version` holds; without it, each plan asks again.
    `as_of`: a function that returns the data's own time (aware); by default the newest modification time of the
    files, or the time of the observation that found a new token.
    `partitions`: each partition has files of its own, which `path` has a place for: `data/{partition}.csv`, with its
    start as `{partition:%Y/%m}`, or a place for each axis (`data/{day}/{airport}.csv`).

    Raises:
        ValueError: neither or both of `path` and `version` are given, or `load` or `ttl` comes without `version`, or
            `partitions` without `path` or with `as_of`.
    """
    if (path is None) == (version is None):
        raise ValueError(f"source({key!r}) takes either path= or version=")
    if version is None and (load is not None or ttl is not None):
        raise ValueError(f"source({key!r}): load= and ttl= go with version=; a file is looked at every time")
    if partitions is not None and (path is None or as_of is not None):
        raise ValueError(f"source({key!r}): partitions= goes with path= and the times of its files, not with as_of=")
    file, line = caller_place()
    return SourceDefinition(
        key, path, format, version, load, as_of, None if ttl is None else seconds(ttl), dict(options), group,
        None if owners is None else tuple(owners), tag_mapping(tags), description, freshness, partitions,
        file, line,
    )  # fmt: skip


def definition_of(value: object) -> Definition | None:
    """The definition that `value` is or carries, or None. Never raises, whatever `value` is."""
    if isinstance(value, SourceDefinition):
        return value
    attributes = getattr(value, "__dict__", None)
    found = cast("dict[str, object]", attributes).get(ATTRIBUTE) if isinstance(attributes, dict) else None
    return found if isinstance(found, (AssetDefinition, CheckDefinition)) else None


def key_text(value: AssetLike) -> str:
    """The key that a reference names.

    Raises:
        TypeError: `value` is not a key, a source or a decorated function with one output.
    """
    if isinstance(value, str):
        return value
    found = definition_of(value)
    if isinstance(found, SourceDefinition):
        return found.key
    if isinstance(found, AssetDefinition) and len(found.outputs) == 1:
        return found.outputs[0].key
    raise TypeError(f"expected an asset key or a function decorated with @asset, not {value!r}")


def tag_mapping(tags: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    """Tags as a mapping; a list of bare tags gets empty values."""
    if isinstance(tags, Mapping):
        return dict(cast("Mapping[str, str]", tags))
    return {str(tag): "" for tag in tags}


def attach_definition(function: Callable[..., object], definition: Definition) -> None:
    """Hang the definition on the function."""
    setattr(function, ATTRIBUTE, definition)


def first_line(docstring: str | None) -> str:
    """The first paragraph's first line of a docstring, without white space around it."""
    return (docstring or "").strip().partition("\n")[0].strip()


def place_of(function: Callable[..., object]) -> tuple[str, int]:
    """The file and the line of the `def` of a function, below any wrappers."""
    inner: object = function
    while hasattr(inner, "__wrapped__"):
        inner = getattr(inner, "__wrapped__")  # noqa: B009 - pyright knows no such attribute on object
    code = getattr(inner, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("<unknown>", 0)


def caller_place() -> tuple[str, int]:
    """The file and line that called the function that called this one."""
    import sys

    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] - inspect would cost 15 ms of import
    return frame.f_code.co_filename, frame.f_lineno


def package_policies(packages: Packages | None) -> dict[str, str]:
    """The policy of each package by name; that of all others by `*`."""
    if packages is None:
        return {}
    return {"*": packages} if isinstance(packages, str) else dict(packages)


def _batching(batch: bool | int, column: str | Mapping[str, str] | None) -> Batching | None:
    if batch is False:
        if column is not None:
            raise ValueError("partition_column= goes with batch=: a call for one partition makes only its rows")
        return None
    if batch is not True and batch < 1:
        raise ValueError(f"batch={batch} is no number of partitions; write True for as many as there are")
    columns = {"": column} if isinstance(column, str) else dict(column or {})
    return Batching(None if batch is True else batch, columns)


def _counts(
    files: Iterable[str],
    env: Iterable[str],
    code_version: str | int | None,
    packages: Packages | None,
    cue: Cue | str | None,
) -> Counts:
    return Counts(
        (files,) if isinstance(files, str) else tuple(files),
        (env,) if isinstance(env, str) else tuple(env),
        None if code_version is None else str(code_version),
        package_policies(packages),
        cue_of(cue),
    )


def _asset_definition(  # noqa: PLR0913 - hands on what the decorators were given
    fn: Callable[..., object],
    outputs: tuple[Out, ...],
    several: bool,
    group: str | None,
    owners: Iterable[str] | None,
    tags: Mapping[str, str] | Iterable[str],
    io: str | None,
    inputs: Mapping[str, AssetLike] | None,
    deps: Iterable[AssetLike],
    retry: Retry | int | None,
    counts: Counts,
    bounds: Limits,
    partitions: Partitions | None,
    batch: Batching | None = None,
    auto: Auto | None = None,
) -> AssetDefinition:
    file, line = place_of(fn)
    return AssetDefinition(
        function=fn,
        outputs=outputs,
        several=several,
        group=group,
        owners=None if owners is None else tuple(owners),
        tags=tag_mapping(tags),
        io=io,
        inputs={name: key_text(value) for name, value in (inputs or {}).items()},
        deps=tuple(deps),
        retry=Retry(retry) if isinstance(retry, int) else retry,
        counts=counts,
        limits=bounds,
        partitions=partitions,
        batch=batch,
        file=file,
        line=line,
        auto=auto,
    )
