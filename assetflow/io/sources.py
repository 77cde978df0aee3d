"""Data made elsewhere: observing files by their content, and reading them exactly as they were observed.

Observing costs one `stat` for each file that did not change, and imports nothing heavy; that is what a plan pays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from msgspec import Struct

from assetflow.errors import (
    AssetflowError,
    BadDeclaration,
    Location,
    SourceChanged,
    SourceMissing,
    SourceUnreadable,
    did_you_mean,
)
from assetflow.io.base import Want
from assetflow.io.columns import TYPE_NAMES, is_type_name
from assetflow.io.forms import TABLE_FORMS, form_words
from assetflow.io.matching import RACY_NS, is_one, matching, times_of
from assetflow.model.spec import SourceSpec

_ENDINGS = {
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet", ".json": "json", ".jsonl": "jsonl",
    ".ndjson": "jsonl", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".arrows": "arrow",
}  # fmt: skip
_NEAR = 0.75
"""How alike names of files must be, by difflib's ratio, for one to be offered in place of the other."""
_PACKED = (".gz", ".bz2", ".zst")
_SYNONYMS = {"ndjson": "jsonl", "feather": "arrow", "ipc": "arrow"}
_TEXT_OPTIONS = ("nulls", "types", "encoding", "header", "columns")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "csv": ("delimiter", *_TEXT_OPTIONS),
    "tsv": _TEXT_OPTIONS,
    "json": ("types",),
    "jsonl": ("types",),
    "parquet": (),
    "arrow": (),
    "file": (),
}


class FileState(Struct, frozen=True):
    """A file as it was when its content was hashed. `recorded_ns` is the time of that, for the racy rule."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    digest: str
    recorded_ns: int


class Observation(Struct, frozen=True):
    """What a source is now: equal tokens mean equal content. `as_of` is the newest modification time (UTC)."""

    token: str
    as_of: float | None
    size_bytes: int
    files: tuple[FileState, ...]


def observe_files(path_or_glob: str, remembered: Mapping[str, FileState], now_ns: int) -> Observation:
    """The observation of a file, or of all files that a glob matches, in the order of their names.

    Args:
        path_or_glob: an absolute path, maybe with `*`, `?`, `[...]` or `**`.
        remembered: file states by path, from an earlier observation; a file that still has this state is not read.
        now_ns: the time of this observation, in nanoseconds since 1970.

    Raises:
        SourceMissing: there is no such file, or the glob matches none.
        SourceUnreadable: a file cannot be opened, or is a folder.
        SourceChanged: a file keeps changing while it is read.
    """
    paths = _matches(path_or_glob)
    files = tuple(_state(path, remembered.get(path), now_ns) for path in paths)
    token = f"xxh3:{files[0].digest}" if is_one(path_or_glob) else _glob_token(path_or_glob, files)
    return Observation(token, max(state.mtime_ns for state in files) / 1e9, sum(state.size for state in files), files)


def observe_file(path: str, known: FileState | None, now_ns: int) -> FileState:
    """The state of one file by its absolute path; `known` is what it was before, `now_ns` the time of now.

    Raises:
        SourceMissing: it is not there.
        SourceUnreadable: it cannot be opened, or is a folder.
        SourceChanged: it keeps changing while it is read.
    """
    return _state(path, known, now_ns)


def read_source(spec: SourceSpec, expected: Observation, want: Want) -> object:
    """The data of a source in the form that is wanted, exactly as it was observed.

    A table form gets one table from all files; `path` and `bytes` are for a source that is one file. For json and
    jsonl, `python` and `records` are the parsed values; for `file`, `python` is the path; else it is a pandas frame.

    Raises:
        SourceChanged: a file is no longer, or was not all the time, what was observed.
        SourceUnreadable: a file cannot be read in its format, or the source not in this form.
        ContractBroken: a column of `want.columns` is not there.
    """
    return _read_unchanged([(spec, expected)], want, "")


def read_sources(parts: Sequence[tuple[SourceSpec, Observation]], want: Want, name: str) -> object:
    """The data of several partitions of a source, as one table from all their files in this order.

    Types that are inferred are those of all files together. `name` is what errors call it.

    Raises:
        SourceChanged: as for `read_source`.
        SourceUnreadable: as for `read_source`, or the source is not read as a table.
        ContractBroken: as for `read_source`.
    """
    if want.form in ("path", "bytes") or plain_format(parts[0][0].format) == "file":
        raise SourceUnreadable(
            f"`{name}` and {len(parts) - 1} more partitions are read together, which only tables can be",
            fix="take them as a table, or one partition at a time",
        )
    return _read_unchanged(parts, want, name)


def _read_unchanged(parts: Sequence[tuple[SourceSpec, Observation]], want: Want, name: str) -> object:
    spec, states = parts[0][0], [state for _, expected in parts for state in expected.files]
    for one, expected in parts:
        if one.path is None:
            raise SourceUnreadable("the source has no file to read", fix="give it `load=`, or list it in `deps=`")
        _require_same_files(one.path, expected)
    for state in states:
        _require_unchanged(state)
    try:
        value = _read(spec, [Path(state.path) for state in states], want)
    except (AssetflowError, OSError) as error:
        for state in states:
            _require_unchanged(state)  # a file that was replaced meanwhile looks broken, but is not
        if isinstance(error, OSError):
            raise _cannot_open(name or spec.path or "", error) from error
        raise
    for state in states:
        _require_unchanged(state)
    return value


def format_of(path: str) -> str:
    """The format that the ending of a path or glob says; `file` when it says none.

    Example:
        >>> format_of("data/orders-*.csv.gz"), format_of("model.bin")
        ('csv', 'file')
    """
    stem, _, ending = path.lower().rpartition(".")
    if f".{ending}" in _PACKED:
        inner = _ENDINGS.get(f".{stem.rpartition('.')[2]}", "file")
        return inner if inner in ("csv", "tsv", "json", "jsonl") else "file"
    return _ENDINGS.get(f".{ending}", "file")


def plain_format(name: str, where: Location | None = None) -> str:
    """The format by its one name: `jsonl` for `ndjson`, `arrow` for `feather`.

    Raises:
        BadDeclaration: there is no such format.
    """
    found = _SYNONYMS.get(name, name)
    if found not in _OPTIONS:
        raise BadDeclaration(
            f"format `{name}` is not known",
            facts=[f"formats: {', '.join(_OPTIONS)}"],
            fix=did_you_mean(name, [*_OPTIONS, *_SYNONYMS]) or 'use format="file" and read it yourself from the `Path`',
            where=where,
        )
    return found


def check_options(format: str, options: Mapping[str, object], where: Location | None = None) -> None:
    """Nothing, when the options of a source are ones that its format takes.

    Raises:
        BadDeclaration: the format or an option is not known, or an option's value is not what it takes.
    """
    known = _OPTIONS[plain_format(format, where)]
    for name in options:
        if name not in known:
            raise BadDeclaration(
                f"source option `{name}` is not known for format {format}",
                facts=[f"options of {format}: {', '.join(known) or 'none'}"],
                fix=did_you_mean(name, known) or "take it out",
                where=where,
            )
    for name, value in options.items():
        wrong = _wrong_option(name, value)
        if wrong:
            raise BadDeclaration(f"source option `{name}` takes {wrong}, not {value!r}", where=where)
    if options.get("header") is False and "columns" not in options:
        raise BadDeclaration(
            "source option `header=False` needs the names of the columns",
            fix='add columns=["id", "name", ...]',
            where=where,
        )


def _wrong_option(name: str, value: object) -> str | None:
    """What the option takes, when `value` is something else."""
    if name == "delimiter":
        return None if isinstance(value, str) and len(value) == 1 and value not in '"\r\n' else "one character"
    if name == "header":
        return None if isinstance(value, bool) else "True or False"
    if name in ("nulls", "columns"):
        return None if _is_texts(value) and (name == "nulls" or value) else "a list of texts"
    if name == "encoding":
        return None if isinstance(value, str) and _is_encoding(value) else 'the name of an encoding, such as "latin-1"'
    given = cast("Mapping[object, object]", value) if isinstance(value, Mapping) else None
    if given is None or not all(isinstance(v, str) and is_type_name(v) for v in given.values()):
        return f"a mapping from columns to types ({TYPE_NAMES})"
    return None


def _is_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in cast("list[object]", value))


def _is_encoding(name: str) -> bool:
    import codecs

    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def _matches(path_or_glob: str) -> list[str]:
    """The paths that the source means, sorted by their parts, so that the order is the same on every system."""
    paths = sorted(matching(path_or_glob), key=lambda path: Path(path).parts)
    if not paths:
        raise _missing(path_or_glob, f"no file matches `{path_or_glob}`")
    return paths


def _missing(path: str, what: str) -> SourceMissing:
    """The error for a file that is not there, with what is in its folder, or in the nearest folder that exists."""
    folder = Path(path).parent
    while any(mark in folder.name for mark in "*?[") or not folder.is_dir():
        if folder == folder.parent:
            break
        folder = folder.parent
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        names = []
    asked = Path(path).name.replace("*", "") if folder == Path(path).parent else Path(path).relative_to(folder).parts[0]
    near = _near_files(asked, names)
    shown = near or names[:5]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) and not near else ""
    part = "file name" if folder == Path(path).parent else "folder"
    return SourceMissing(
        what,
        facts=[f"{'similar names' if near else 'there is'} in {folder}: {', '.join(shown) or 'nothing'}{more}"],
        fix=f"correct the {part} to `{near[0]}`, or put the file there"
        if near
        else "put the file there, or correct `path=` of the source",
    )


def _near_files(asked: str, names: list[str]) -> list[str]:
    """At most three of the names that may be meant, best first.

    Endings and letter case are left aside: with `.csv` in common, `raw_orders` and `raw_customers` would look alike.
    """
    from difflib import SequenceMatcher

    def likeness(name: str) -> float:
        return SequenceMatcher(None, asked.partition(".")[0].lower(), name.partition(".")[0].lower()).ratio()

    found = [(likeness(name), name) for name in names]
    return [name for ratio, name in sorted(found, key=lambda one: (-one[0], one[1])) if ratio >= _NEAR][:3]


def _state(path: str, known: FileState | None, now_ns: int) -> FileState:
    """The state of one file; its content is read only when `known` cannot vouch for it."""
    import stat

    try:
        found = os.stat(path)  # noqa: PTH116 - one of these per file is the whole cost of an observation
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(path, f"source file `{path}` does not exist") from error
    except OSError as error:
        raise _cannot_open(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise SourceUnreadable(
            f"`{path}` is a folder, not a file", fix=f'for the files in it, use a glob: path="{Path(path) / "*.csv"}"'
        )
    if known is not None and _vouches(known, found):
        return known
    for _ in range(3):
        before = found
        digest = _digest(path)
        found = os.stat(path)  # noqa: PTH116
        if times_of(before) == times_of(found):
            return FileState(path, *times_of(found), digest, now_ns)
    raise SourceChanged(
        f"`{path}` changed while it was read", fix="run again when the program that writes the file has finished"
    )


def _vouches(known: FileState, found: os.stat_result) -> bool:
    """Whether the file surely is what it was: nothing differs, and it was not new when it was recorded."""
    same = (known.size, known.mtime_ns, known.inode, known.ctime_ns) == times_of(found)
    return same and known.mtime_ns < known.recorded_ns - RACY_NS


def _digest(path: str) -> str:
    """xxh3-128 of the file's bytes."""
    from xxhash import xxh3_128

    state = xxh3_128()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
    except FileNotFoundError as error:
        raise _missing(path, f"source file `{path}` does not exist") from error
    except OSError as error:
        raise _cannot_open(path, error) from error
    return state.hexdigest()


def _cannot_open(path: str, error: OSError) -> SourceUnreadable:
    return SourceUnreadable(
        f"`{path}` cannot be opened: {error.strerror or error}", fix="check the permissions of the file and its folders"
    )


def _glob_token(pattern: str, files: tuple[FileState, ...]) -> str:
    """A token over the files' names, relative to where the pattern's wildcards begin, and their content."""
    from xxhash import xxh3_128

    fixed: list[str] = []
    for part in Path(pattern).parts:
        if any(mark in part for mark in "*?["):
            break
        fixed.append(part)
    root = Path(*fixed)
    state = xxh3_128()
    for one in files:
        name = Path(one.path).relative_to(root).as_posix()
        # No file name holds a NUL, so no two lists of files can give the same bytes.
        state.update(os.fsencode(f"{name}\0{one.digest}\n"))
    return f"xxh3:{state.hexdigest()}"


def _require_same_files(pattern: str, expected: Observation) -> None:
    """Raise SourceChanged when the glob matches other files than were observed."""
    if is_one(pattern):
        return
    try:
        now = set(_matches(pattern))
    except SourceMissing:
        now = set[str]()
    before = {state.path for state in expected.files}
    if now != before:
        changed = sorted(Path(path).name for path in now ^ before)
        raise SourceChanged(
            f"the files of `{pattern}` are not those that were observed",
            facts=[f"came or went: {', '.join(changed[:5])}{' …' if len(changed) > 5 else ''}"],
            fix="run again",
        )


def _require_unchanged(state: FileState) -> None:
    """Raise SourceChanged when the file is not what was observed; an equal content with a new time is no change."""
    try:
        found = os.stat(state.path)  # noqa: PTH116
        same = _vouches(state, found) or (found.st_size == state.size and _digest(state.path) == state.digest)
    except (OSError, SourceMissing):
        same = False
    if not same:
        raise SourceChanged(
            f"`{state.path}` changed since it was observed",
            facts=["what would be read is not what would be recorded"],
            fix="run again when the program that writes the file has finished",
        )


def _read(spec: SourceSpec, paths: list[Path], want: Want) -> object:
    from assetflow.io.formats import read_documents, read_table

    name = plain_format(spec.format)
    form = "path" if name == "file" and want.form == "python" else want.form
    if form in ("path", "bytes"):
        if not is_one(spec.path or ""):
            raise SourceUnreadable(
                f"`{spec.path}` is a glob, and {form_words(form)} is one file",
                fix="take it as a table, or declare the file as a source of its own",
            )
        return paths[0] if form == "path" else paths[0].read_bytes()
    if name == "file":
        raise SourceUnreadable(
            f"`{paths[0].name}` has no format that can be read as {form_words(form)}",
            fix='name it: source(..., format="csv"); or annotate the parameter with `Path` or `bytes`',
        )
    if name in ("json", "jsonl") and form in ("python", "records"):
        return _documents(read_documents(name, paths), form, want.columns, paths[0])
    if form not in TABLE_FORMS and form != "python":
        raise SourceUnreadable(f"a source cannot be read as {form_words(form)}", fix="annotate it as a table")
    from assetflow.io.arrow import TableStream, forms_of

    table = read_table(name, paths, spec.options, want.columns)
    return forms_of(TableStream(table.schema, iter(table.to_batches())), want, Path(spec.path or "").name)


def _documents(value: object, form: str, columns: tuple[str, ...] | None, path: Path) -> object:
    """Parsed JSON, cut to the wanted columns when it is a list of objects."""
    from assetflow.io.columns import require_columns

    records = isinstance(value, list) and all(isinstance(row, dict) for row in cast("list[object]", value))
    if form == "records" and not records:
        raise SourceUnreadable(
            f"`{path.name}` is not an array of objects, so it is not a list of dicts",
            fix="take it without an annotation to get the parsed value",
            where=Location(str(path), 1),
        )
    found = cast("list[dict[str, object]]", value)
    if columns is None or not records:
        return found
    if found:
        names = dict.fromkeys(name for row in found for name in row)
        require_columns(columns, names, f"`{path.name}`")
    return [{name: row.get(name) for name in columns} for row in found]
