"""Database rows as records, and the named queries."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from msgspec.json import Decoder

from assetflow.catalog.token import query
from assetflow.errors import DamagedCatalog
from assetflow.model.code import CodeNote, CodeSource, note_from_json, note_to_json
from assetflow.model.keys import AssetKey, slot
from assetflow.model.records import (
    NOTHING_DISCOVERED,
    Attempt,
    CheckOutcome,
    Discovered,
    Head,
    NewTrace,
    Run,
    SpanTime,
    Trace,
    TraceInput,
    Version,
)

Row = Sequence[Any]
"""A row as sqlite3 gives it: the queries, not types, say what its columns hold."""


P = ParamSpec("P")
R = TypeVar("R")


def _sound(function: Callable[P, R]) -> Callable[P, R]:
    """Have a row that cannot be what was written named as damage: SQLite has no checksums of its own."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedCatalog(
                "the catalog is damaged: a value in it is not what was written",
                facts=(f"found:    {error}",),
                fix="assetflow doctor --rebuild-catalog makes the catalog from its journal",
            ) from error

    return checked


@cache
def queries() -> dict[str, str]:
    """The named queries of queries.sql by name, with the one of the token, which is read without the others too."""
    found: dict[str, str] = {}
    name, lines = "", list[str]()
    for line in (Path(__file__).parent / "queries.sql").read_text().splitlines():
        if line.startswith("-- ") and ": " in line and " " not in line[3:].partition(":")[0]:
            if name:
                found[name] = "\n".join(lines).strip()
            name, lines = line[3:].partition(":")[0], []
        else:
            lines.append(line)
    found[name] = "\n".join(lines).strip()
    return {**found, "token": query()}


def inputs_by_trace(rows: Iterable[Row]) -> Mapping[int, tuple[TraceInput, ...]]:
    """Rows of `inputs_of`, grouped by trace."""
    grouped: defaultdict[int, list[TraceInput]] = defaultdict(list)
    for trace_id, parameter, upstream, partition, mode, digest, number in rows:
        read = slot(upstream, partition) if partition else upstream
        grouped[trace_id].append(_trace_input(parameter, read, mode, digest, number))
    return {trace_id: tuple(found) for trace_id, found in grouped.items()}


_trace_input = lru_cache(maxsize=4096)(TraceInput)
"""Traces of neighbouring partitions mostly read the same."""


@_sound
def heads_from_rows(rows: Iterable[Row], env: str, inputs: Mapping[int, tuple[TraceInput, ...]]) -> list[Head]:
    """Rows of `heads`, `traces_in` or `history`; moves have their cause as well."""
    shared = _Shared()
    heads: list[Head] = []
    for row in rows:
        (
            key, partition, trace_id, seq, changed_seq, verified_at,
            input_key, version_id, run_id, kind, started, finished, as_of, metadata, discovered,
            code, parts, config, packages, files, env_vars, notes, scheme, declared,
            number, data_hash, io, location, count, size, columns, details, shape, created, state, *cause,
        ) = row  # fmt: skip
        version = _version((
            version_id, key, partition, number, data_hash, io, location, count, size, columns, details, shape,
            created, state,
        ))  # fmt: skip
        trace = Trace(
            trace_id, key, partition, input_key, code, shared[parts], shared[config], inputs.get(trace_id, ()),
            version_id, number, data_hash, run_id, kind, started, finished, as_of, _mapping(metadata),
            shared[packages], shared[files], shared[env_vars], _notes(notes), scheme, declared,
            _discovered(discovered),
        )  # fmt: skip
        heads.append(Head(env, trace, version, seq, changed_seq, verified_at, cause[0] if cause else ""))
    return heads


def _version(row: Row) -> Version:
    (
        version_id, key, partition, number, data_hash, io, location, count, size, columns, details, shape,
        created, state,
    ) = row  # fmt: skip
    parsed: list[tuple[str, str, str]] = _read(columns) if columns != "[]" else []
    about = _mapping(details)
    if shape is not None:
        about = {**about, "schema": shape}
    return Version(
        version_id, key, partition, number, data_hash, io, location, count, size,
        _schema(tuple([(name, kind) for name, kind, _ in parsed])),
        {name: digest for name, _, digest in parsed if digest},
        about, created, state,
    )  # fmt: skip


version_from_row = _sound(_version)
"""The version of one row of `version`."""


Definition = tuple[
    str, Mapping[str, str], Mapping[str, str], Mapping[str, str], Mapping[str, str], Mapping[str, str],
    tuple[CodeNote, ...], str, str | None,
]  # fmt: skip
"""What a trace was made by, as `fp` holds it: see `definition_of`."""


def definition_of(trace: NewTrace) -> Definition:
    """The parts of a definition in the order of the columns of `fp`."""
    return (
        trace.code, trace.code_parts, trace.config, trace.packages, trace.files, trace.env_vars, trace.notes,
        trace.scheme, trace.code_version,
    )  # fmt: skip


def definition_texts(definition: Definition) -> tuple[str, ...]:
    """The columns of `fp` of a definition, its digest first."""
    code, *mappings, notes, scheme, code_version = definition
    texts = [code, *(json.dumps(dict(one)) for one in mappings)]
    texts += [json.dumps([note_to_json(note) for note in notes]), scheme]
    digest = hashlib.sha256(json.dumps([*texts, code_version]).encode()).hexdigest()
    return (digest, *texts, cast("str", code_version))


def discovered_json(trace: NewTrace) -> str:
    """What was seen while it ran, as `trace.discovered` holds it: equal texts mean that the same was seen."""
    return json.dumps(trace.discovered.to_json()) if trace.discovered else "{}"


def node_row(digest: str, source: CodeSource) -> tuple[object, ...]:
    """A piece of code as `node` holds it."""
    packed = zlib.compress(json.dumps([source.text, *source.refers]).encode())
    return (digest, source.kind, source.file, source.line, packed)


@_sound
def source_from_row(row: Row) -> CodeSource:
    """One row of `nodes`, without its digest."""
    kind, file, line, packed = row
    try:
        text, *refers = json.loads(zlib.decompress(packed))
    except zlib.error as error:
        raise ValueError(f"the text of a piece of code: {error}") from error
    return CodeSource(kind, file, line, text, tuple(refers))


def details_and_shape(details: Mapping[str, object]) -> tuple[str, str]:
    """The details of a version as `version.details` holds them, and its schema, which has a row of its own.

    What has no schema has an empty one.
    """
    schema = details.get("schema", "")
    if not isinstance(schema, str):
        return json.dumps(dict(details)), ""
    return json.dumps({name: value for name, value in details.items() if name != "schema"}), schema


def columns_json(schema: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """Names, types and digests of columns as `version.columns` holds them; no digest is an empty text."""
    return json.dumps([[name, kind, digests.get(name, "")] for name, kind in schema.items()])


@_sound
def run_from_row(row: Row) -> Run:
    """One row of `runs` or `run`."""
    run_id, env, state, cause, selection, started, finished, user, host, pid, counts = row
    return Run(run_id, env, state, cause, selection, started, finished, user, host, pid, _mapping(counts))


@_sound
def attempt_from_row(row: Row) -> Attempt:
    """One row of `attempts`, `last_attempts` or `attempts_of`."""
    run_id, key, partition, number, state, started, finished, version, facts = row
    found = _mapping(facts)
    return Attempt(
        run_id, AssetKey(key), partition, number, state, started, finished, version,
        tuple(found.get("reasons", ())), found.get("error"),
        tuple(CheckOutcome(*check) for check in found.get("checks", ())),
        found.get("seconds", {}), tuple(AssetKey(one) for one in found.get("blocked_by", ())),
        found.get("wait"), found.get("peak_memory"), tuple(SpanTime(*span) for span in found.get("spans", ())),
        found.get("definition", ""),
    )  # fmt: skip


def attempt_facts(attempt: Attempt) -> str:
    """The parts of an attempt that `attempt.facts` holds."""
    facts: dict[str, object] = {}
    if attempt.reasons:
        facts["reasons"] = [dict(reason) for reason in attempt.reasons]
    if attempt.error:
        facts["error"] = dict(attempt.error)
    if attempt.checks:
        facts["checks"] = [[c.name, c.passed, c.blocking, c.message] for c in attempt.checks]
    if attempt.seconds:
        facts["seconds"] = {name: round(seconds, 6) for name, seconds in attempt.seconds.items()}
    if attempt.definition:
        facts["definition"] = attempt.definition
    if attempt.blocked_by:
        facts["blocked_by"] = list(attempt.blocked_by)
    if attempt.wait_s is not None:
        facts["wait"] = round(attempt.wait_s, 6)
    if attempt.peak_memory_bytes is not None:
        facts["peak_memory"] = attempt.peak_memory_bytes
    if attempt.spans:
        facts["spans"] = [[span.path, span.seconds, span.count, span.failed] for span in attempt.spans]
    return json.dumps(facts)


def median(values: list[float]) -> float:
    """The middle one of some numbers, or what is between the two."""
    values.sort()
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


@lru_cache(maxsize=1024)
def _schema(columns: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The types of columns by name, once for all versions that have the same: nobody changes it."""
    return dict(columns)


@lru_cache(maxsize=1024)
def _notes(text: str) -> tuple[CodeNote, ...]:
    return tuple(note_from_json(one) for one in json.loads(text)) if text != "[]" else ()


_decode = Decoder().decode


def _read(text: str) -> Any:
    """The value of a JSON text."""
    try:
        return _decode(text)
    except ValueError:
        return json.loads(text)  # NaN, or half of a surrogate pair


def _mapping(text: str) -> dict[str, Any]:
    return _read(text) if text != "{}" else {}


class _Shared(dict[str, Mapping[str, Any]]):
    """Mappings by their text, each read once, as many definitions have the same ones: nobody changes them."""

    def __missing__(self, text: str) -> Mapping[str, Any]:
        found = self[text] = _read(text)
        return found


@lru_cache(maxsize=1024)
def _discovered(text: str) -> Discovered:
    return NOTHING_DISCOVERED if text == "{}" else Discovered.from_json(json.loads(text))
