"""The evidence of a reason: the lines of code, the columns and rows, the values that differ; looked up when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import AssetflowError
from assetflow.explaining.answer import Cause, CodeEvidence, DataEvidence
from assetflow.explaining.git import blame, last_commit
from assetflow.explaining.texts import chain, changed_lines
from assetflow.explaining.walk import Found, merged
from assetflow.io.diff_results import RowDiff, TableDiff, ValueDiff
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Discovered, Head, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.staleness import Reason

_CODE = ("code_changed", "helper_changed")
_INPUTS = ("input_changed", "input_added", "input_removed")
_DISCOVERED = ("discovered_file", "discovered_code")
_MOST_TEXTS = 5
"""Of so many changed pieces of code the lines are shown; the others are named."""
_MOST_TABLES = 5
"""Of so many inputs the rows are compared."""
_SHORT = 60
_MOST_ROWS = 2_000_000
_MOST_BYTES = 256_000_000
"""Of larger tables the rows are not compared: why must be quick."""

Diff = Callable[..., TableDiff | ValueDiff]


class Library(Struct, frozen=True):
    """Where evidence is looked up. `texts` is the code of now, `versions` the versions that inputs had and have."""

    root: Path
    graph: AssetGraph
    catalog: Catalog
    texts: Mapping[str, CodeSource]
    diff: Diff


class _Piece(Struct, frozen=True):
    """One changed piece of the code of one asset."""

    found: Found
    name: str
    old: str | None
    new: str | None
    code: str


def causes_of(found: list[Found], library: Library) -> tuple[Cause, ...]:
    """The root causes, each told once, with its evidence."""
    spread = [one for each in found for one in _pieces(each, library.texts)]
    keys = {place: _subject(one) for place, one in enumerate(spread)}
    told = merged([one if isinstance(one, Found) else one.found for one in spread], keys)
    first = {keys[place]: one for place, one in reversed(list(enumerate(spread)))}
    chosen = list(dict.fromkeys(keys.values()))
    pieces = [one for one in first.values() if isinstance(one, _Piece)]
    old = library.catalog.sources({piece.old for piece in pieces if piece.old is not None}) if pieces else {}
    causes: list[Cause] = []
    texts = inputs = 0
    inputs_of = _inputs_by_subject(spread, keys)
    for subject, (reason, others) in zip(chosen, told, strict=True):
        one = first[subject]
        base = Cause(
            reason.reason.code, reason.reason.text, reason.path, reason.reason.data, tuple(others),
            also=tuple(inputs_of[subject][1:]),
        )  # fmt: skip
        if isinstance(one, _Piece):
            texts += 1
            evidence = _code(one, old, library, with_lines=texts <= _MOST_TEXTS)
            causes.append(replace(base, code=one.code, text=_code_words(one, evidence), evidence=evidence))
        elif base.code == "input_changed" and (inputs := inputs + 1) <= _MOST_TABLES:
            causes.append(replace(base, evidence=_data(reason, library)))
        elif base.code in _DISCOVERED:
            causes.append(replace(base, evidence=_opened(reason, library)))
        else:
            causes.append(base)
    return tuple(causes)


def _pieces(found: Found, texts: Mapping[str, CodeSource]) -> Iterator[Found | _Piece]:
    """A reason that names changed pieces of code, as one for each of them, those nearest to the asset first."""
    changed = found.reason.data.get("changed")
    head = found.step.head
    if found.reason.code not in _CODE or not isinstance(changed, list) or not changed or head is None:
        yield found
        return
    before, now = head.trace.code_parts, found.step.spec.code_parts or {}
    names: list[str] = [str(name) for name in changed]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    far = {name: len(chain(now, texts, name)) if name in now else len(now) for name in names}
    for name in sorted(names, key=lambda name: (far[name], name)):
        code = "code_changed" if far[name] == 1 and name in now else "helper_changed"
        yield _Piece(found, name, before.get(name), now.get(name), code)


def _subject(one: Found | _Piece) -> object:
    """What a reason is about, but for the partition: reasons about the same are one cause."""
    if isinstance(one, _Piece):
        return ("code", one.old, one.new)
    data = one.reason.data
    asset, partition = split_slot(one.step.asset)
    if one.reason.code in _INPUTS:
        upstream, part = split_slot(AssetKey(str(data.get("input"))))
        if one.reason.code == "input_changed":
            return ("input", upstream, bool(part), data.get("from"), data.get("to"))
        return (one.reason.code, asset, upstream, bool(part), data.get("parameter"))
    if one.reason.code in _DISCOVERED:  # the runs in which it was seen differ
        return (one.reason.code, str(data.get("files")))
    if one.reason.code in ("never_materialized", "forced"):
        return one.reason.code
    if one.reason.code in ("dependency_changed", "source_unavailable", "env_changed", "files_changed"):
        return (one.reason.code, one.reason.text)
    if one.reason.code == "expired":  # the ages differ
        return (one.reason.code, asset, data.get("ttl_s"))
    return (one.reason.code, asset, one.reason.text.replace(f"[{partition}]", "") if partition else one.reason.text)


def _inputs_by_subject(spread: list[Found | _Piece], keys: Mapping[int, object]) -> Mapping[object, list[AssetKey]]:
    """The inputs, partitions mostly, of which reasons about the same speak, in their order."""
    found: dict[object, dict[AssetKey, None]] = {subject: {} for subject in keys.values()}
    for place, one in enumerate(spread):
        if isinstance(one, Found) and one.reason.code in _INPUTS:
            found[keys[place]][AssetKey(str(one.reason.data.get("input")))] = None
    return {subject: [*names] for subject, names in found.items()}


# -- code


def _code(piece: _Piece, old: Mapping[str, CodeSource], library: Library, *, with_lines: bool) -> CodeEvidence:
    spec = piece.found.step.spec
    was = old.get(piece.old or "")
    now = library.texts.get(piece.new or "")
    change = "added" if piece.old is None else "removed" if piece.new is None else "changed"
    place = now if now is not None and now.file else was
    way = chain(spec.code_parts or {}, library.texts, piece.name) if piece.new is not None else (piece.name,)
    base = CodeEvidence(
        piece.name, change, place.file if place is not None else spec.file,
        place.line if place is not None else 0, chain=way, old=piece.old, new=piece.new,
    )  # fmt: skip
    if (was is None and piece.old is not None) or (now is None and piece.new is not None):
        missing = "old" if was is None and piece.old is not None else "new"
        return replace(base, note=f"its {missing} text was not kept")
    if not with_lines:
        return base
    lines, hidden, span = changed_lines(_named(was, piece.name), _named(now, piece.name))
    if not lines:
        note = _other_names(was, now) if was is not None and now is not None else ""
        return replace(base, note=note)
    line = span.start if now is not None and now.file else base.line
    # A value of several lines says only where it begins, so that those lines may not be the ones that changed.
    is_placed = now is not None and bool(now.file) and (now.kind != "value" or len(now.text) < _SHORT)
    git = blame(library.root, now.file, span) if now is not None and is_placed else None
    return replace(base, line=line, lines=lines, hidden=hidden, git=git)


def _named(source: CodeSource | None, name: str) -> CodeSource | None:
    """A value with its name before it, as it stands in the code."""
    if source is None or source.kind != "value":
        return source
    return replace(source, text=f"{name.rpartition('.')[2]} = {source.text}")


def _other_names(was: CodeSource, now: CodeSource) -> str:
    """What is to be said when two texts are the same, and yet mean different things."""
    if was.refers and now.refers:
        other = sorted(set(was.refers) ^ set(now.refers))
        if other:
            return f"the text is the same; what it refers to is not: {', '.join(other[:3])}"
    return "the text is the same; a name or a value in it means something else"


def _code_words(piece: _Piece, evidence: CodeEvidence) -> str:
    asset = piece.found.step.asset
    what = f"the code of `{asset}`" if piece.code == "code_changed" else f"`{piece.name}`, used by {asset}"
    return what if evidence.change == "changed" else f"{what}: {evidence.change}"


# -- data


def _data(found: Found, library: Library) -> DataEvidence:
    """What changed in an input: of a source its file, of an asset columns and rows."""
    data = found.reason.data
    key = AssetKey(str(data.get("input") or found.step.asset))
    asset, partition = split_slot(key)
    spec = library.graph.specs.get(asset)
    if spec is None:
        return DataEvidence(note=f"{key} is no longer declared")
    if spec.is_source:
        return _source(spec, library)
    numbers = data.get("from"), data.get("to")
    if not all(isinstance(number, int) for number in numbers):
        return DataEvidence()
    versions = [library.catalog.version(asset, int(str(number)), partition) for number in numbers]
    old, new = versions
    if old is None or new is None:
        return DataEvidence(note="one of the two versions is not recorded any more")
    columns = next((one.columns for one in found.step.spec.inputs if one.upstream == key and one.columns), ())
    return _compared(old, new, columns, library)


def _source(spec: AssetSpec, library: Library) -> DataEvidence:
    path = None if spec.source is None else spec.source.path
    if path is None:
        return DataEvidence(note="its version function says another version")
    inside = Path(path).is_relative_to(library.root)
    file = Path(path).relative_to(library.root).as_posix() if inside else path
    git = last_commit(library.root, file) if inside and not any(mark in file for mark in "*?[") else None
    return DataEvidence(file=file, git=git, note="of sources no copies are kept, so rows cannot be compared")


def _opened(found: Found, library: Library) -> DataEvidence:
    """What is known of a file that a function was seen to open, or to run: of several, the first."""
    files = cast("list[str]", found.reason.data.get("files", []))
    if not files:
        return DataEvidence()
    note = "of files that functions open no copies are kept, so lines cannot be compared"
    return DataEvidence(file=files[0], git=last_commit(library.root, files[0]), note=note)


def _compared(old: Version, new: Version, columns: Iterable[str], library: Library) -> DataEvidence:
    """The difference of two versions: from what the catalog has, and from the rows where that does not take long."""
    names = old.name, new.name
    wanted = [name for name in columns if name in old.schema and name in new.schema] or None
    rows = (old.rows or 0) + (new.rows or 0)
    is_table = old.rows is not None and new.rows is not None
    is_small = rows <= _MOST_ROWS and (old.size_bytes or 0) + (new.size_bytes or 0) <= _MOST_BYTES
    schema = _schema_lines(old, new)
    changed = tuple(
        name for name, digest in new.columns.items() if name in old.columns and old.columns[name] != digest
        and (wanted is None or name in wanted)
    )  # fmt: skip
    base = DataEvidence(changed, schema, total=old.rows)
    if not is_small:
        counts = {"before": old.rows or 0, "after": new.rows or 0}
        note = f"{rows:,} rows are too many to compare here: assetflow diff {' '.join(names)}"
        return replace(base, rows=counts if is_table else {}, note=note)
    try:
        found = library.diff(*names, limit=3, columns=wanted) if is_table else library.diff(*names, limit=3)
    except AssetflowError as error:
        return replace(base, note=error.what)
    if isinstance(found, ValueDiff):
        return replace(base, sample=tuple(f"{one.path}: {one.old!r} → {one.new!r}" for one in found.paths))
    counts = {"changed": found.changed, "added": found.added, "removed": found.removed}
    named = tuple(one.name for one in found.columns) or changed
    if found.changed == 0 and (found.added or found.removed):
        named = ()  # whole rows came or went: every column is then another one, which says nothing
    return replace(
        base, columns=named, rows={name: number for name, number in counts.items() if number},
        sample=tuple(map(_row, found.rows[:3])), note="; ".join(found.notes[:1]),
    )  # fmt: skip


def _schema_lines(old: Version, new: Version) -> tuple[str, ...]:
    lines = [f"+ {name}" for name in new.schema if name not in old.schema]
    lines += [f"- {name}" for name in old.schema if name not in new.schema]
    return (*lines, *(f"{name}: {kind} → {new.schema[name]}" for name, kind in old.schema.items()
                      if name in new.schema and new.schema[name] != kind))  # fmt: skip


def _row(row: RowDiff) -> str:
    """`id=3: price 2.0 → 2.5` for a row that differs."""
    key = ", ".join(f"{name}={value}" for name, value in row.key.items())
    if row.change != "changed":
        shown = key or ", ".join(f"{name}={old if new is None else new}" for name, (old, new) in row.values.items())
        times = f" ×{row.count}" if row.count > 1 else ""
        return f"{'+' if row.change == 'added' else '-'} {shown}{times}"
    values = ", ".join(f"{name} {old} → {new}" for name, (old, new) in row.values.items())
    return f"{key}: {values}" if key else values


def head_reasons(now: Head, then: Head) -> tuple[AssetSpec, list[Reason]]:
    """What differs between what two heads of one asset were made of, as the planner would say it, and a spec of now."""
    from assetflow.model.spec import InputSpec
    from assetflow.plan.staleness import Content, changed_inputs, local_reasons

    trace = now.trace
    inputs = tuple(InputSpec(one.parameter, one.upstream, one.mode) for one in trace.inputs)
    spec = AssetSpec(
        key=trace.asset, kind="asset", node=trace.asset, inputs=inputs, group="", owners=(), tags={}, description="",
        io=now.version.io, file="", line=0, code=trace.code, code_parts=trace.code_parts, config=trace.config,
        packages=trace.packages, files=trace.files, env_vars=trace.env_vars, code_version=trace.code_version,
    )  # fmt: skip
    before, after = then.trace.discovered, trace.discovered
    # A file that only one of them opened is a matter of what differs in the code, or in what was read.
    seen = Discovered({**before.files, **after.files}, {**before.code, **after.code})
    reasons = local_reasons(spec, then, is_forced=False, is_lost=False, now=seen)
    known = [
        (replace(given, mode="value"), Content(one.digest, None, {}, one.version_number))
        for given, one in zip(inputs, trace.inputs, strict=True)
        if one.mode != "order"
    ]
    return spec, [*reasons, *changed_inputs(then, known)]
