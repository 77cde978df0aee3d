"""The one place that decides whether an asset is current, and that says why not.

The theory is that of constructive traces with early cut-off ("Build Systems a la Carte", Mokhov, Mitchell, Peyton
Jones, JFP 2020): an asset is a function of its definition and of the *content* of what it reads. Both go into an input
key. A head whose trace has the key that is true now is current; any other trace with that key can be linked without
computing; otherwise the asset runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.policies import ASK
from assetflow.model.records import ABSENT, UNKNOWN, Discovered, Doubt, Head, Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.sharing import Shared
from assetflow.plan.slotkeys import digest_of_set, slot_key
from assetflow.plan.surroundings import THOROUGH, as_made, code_now, code_then, moved_discoveries, moved_packages, texts


class Action(StrEnum):
    """What a plan does with an asset partition."""

    RUN = "run"
    MAYBE = "maybe"
    LINK = "link"
    CURRENT = "current"
    PINNED = "pinned"
    UNDECIDED = "undecided"
    BLOCKED = "blocked"


STAYS = (Action.CURRENT, Action.PINNED, Action.UNDECIDED)
"""What these are done with is nothing: others read what there is."""


class Reason(Struct, frozen=True):
    """Why an asset is not current. `code` is from the closed list, `text` a phrase for people, `data` its facts.

    The codes are `REASONS` of `plan/selection_words.py`. Without all that the root reasons speak of, an asset would be
    current; what is no root follows from something that is, at this asset or above it.
    """

    code: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict[str, object])
    is_root: bool = True

    def to_json(self) -> dict[str, object]:
        """The reason as JSON-able values."""
        return {"code": self.code, "text": self.text, "root": self.is_root, **self.data}


class Content(Struct, frozen=True):
    """What is known of an upstream's content: of the version that is current, or that a source would get."""

    data_hash: str
    rows: int | None
    columns: Mapping[str, str]
    number: int | None

    @classmethod
    def of(cls, version: Version) -> Content:
        """The content of a version."""
        return cls(version.data_hash, version.rows, version.columns, version.number)


class Decision(Struct, frozen=True):
    """The answer for one asset partition; `key` is None while an upstream is not settled."""

    action: Action
    reasons: tuple[Reason, ...] = ()
    key: str | None = None
    link: Head | None = None


def digest_of(given: InputSpec, content: Content) -> str:
    """The part of an upstream's content that an input depends on.

    For a projection it is the row count and the digests of the listed columns. A column that does not exist, and an
    upstream without column digests (a source file), make it the whole content: more is read as stale, never less.
    """
    if given.mode == "order":
        return ""
    if given.mode == "columns" and all(name in content.columns for name in given.columns):
        parts = [str(content.rows), *(f"{name}={content.columns[name]}" for name in given.columns)]
        return "columns:" + _hash("columns", parts)
    return content.data_hash


Edge = tuple[str, AssetKey, str, tuple[str, ...]]
"""Of an input that partitions of an asset are read by: parameter, upstream, mode and columns."""

_BASE_KEYS = Shared[str]()


def input_key(spec: AssetSpec, digests: Iterable[tuple[InputSpec, str]]) -> str:
    """What the asset's content is a function of: definition, config, and what each input depends on.

    The definition is the code with all that was declared beside it; what the cue of the asset leaves out is not in it.
    """
    asset, partition = split_slot(spec.key)
    whole: list[tuple[InputSpec, str]] = []
    parts: dict[Edge, list[tuple[str, str]]] = {}
    for given, digest in digests:
        if given.mode == "order":
            continue
        upstream, part = split_slot(given.upstream)
        if part:
            parts.setdefault((given.parameter, upstream, given.mode, given.columns), []).append((part, digest))
        else:
            whole.append((given, digest))
    if not (partition or parts):
        return definition_key(asset, spec, whole, ())
    edges = sorted(parts)
    base = _base_key(asset, spec, tuple(whole), tuple(edges))
    return slot_key(base, [digest_of_set(parts[edge]) for edge in edges], partition)


def _base_key(
    asset: AssetKey, spec: AssetSpec, whole: tuple[tuple[InputSpec, str], ...], edges: tuple[Edge, ...]
) -> str:
    """`definition_key` of one of many partitions, which all of an asset share."""
    rests_on = (
        spec.code, spec.code_version, spec.config, spec.files, spec.env_vars, spec.cue, spec.partitions, whole, edges
    )  # fmt: skip
    return _BASE_KEYS.get(
        asset, rests_on, lambda: definition_key(asset, spec, whole, [InputSpec(*edge) for edge in edges])
    )


def definition_key(
    asset: AssetKey, spec: AssetSpec, whole: Iterable[tuple[InputSpec, str]], in_parts: Sequence[InputSpec]
) -> str:
    """The input key of an asset that reads nothing in partitions; else what the keys of its own have in common.

    `in_parts` are the inputs of which partitions are read, in the order in which their sets go into `slot_key`.
    """
    config_now, files, variables = texts(spec)
    config = [f"{name}={text}" for name, text in sorted(config_now.items())]
    inputs: list[str] = []
    for given, digest in sorted(whole, key=lambda pair: _by_name(pair[0])):
        inputs += [given.parameter, given.upstream, given.mode, ",".join(given.columns), digest]
    key = _hash("afk1", [asset, code_now(spec), str(len(config)), *config, *inputs])
    if files or variables:
        more = [f"{name}={text}" for one in (files, variables) for name, text in sorted(one.items())]
        key = _hash("afk1+", [key, str(len(files)), *more])
    if spec.partitions is not None:
        key = _hash("afk1@", [key, spec.partitions.meaning()])
    if in_parts:
        edges = [word for one in in_parts for word in (one.parameter, one.upstream, one.mode, ",".join(one.columns))]
        key = _hash("afk1*", [key, *edges])
    return f"afk1:{key}"


def _by_name(given: InputSpec) -> tuple[str, AssetKey]:
    return given.parameter, given.upstream


def decide(  # noqa: PLR0913 - all that a decision depends on, by keyword
    spec: AssetSpec,
    head: Head | None,
    contents: Mapping[AssetKey, Content | None],
    traces: Mapping[str, Head],
    *,
    is_forced: bool = False,
    is_lost: bool = False,
    doubt: Doubt | None = None,
    now: Discovered | None = None,
    at: float = 0.0,
) -> Decision:
    """Whether an asset is current, may be linked, must run, or waits for an upstream.

    `contents` has what each upstream holds now, None for one that is about to run and may change. `traces` are the
    asset's traces by input key: those that have live bytes, that count, and that were made by packages taken for equal
    to those of now. `doubt` is what was said of traces of the asset, `now` what the files are that traces saw opened,
    if anybody looks, `at` the time that results of a limited life are held against. The runner asks again, with fewer
    Nones, when upstreams have settled.
    """
    waiting: list[AssetKey] = []
    known: list[tuple[InputSpec, Content]] = []
    for one in spec.inputs:
        if (content := contents.get(one.upstream)) is not None:
            known.append((one, content))
        elif one.mode != "order":
            waiting.append(one.upstream)
    key = None if waiting else input_key(spec, [(one, digest_of(one, content)) for one, content in known])
    is_plain = doubt is None and spec.cue is None and not (is_forced or is_lost)
    is_plain = is_plain and head is not None and not head.trace.discovered
    if is_plain and head is not None and head.trace.input_key == key and head.trace.packages == spec.packages:
        return Decision(Action.CURRENT, (), key)  # as most are, most of the time: nothing could be a reason
    if head is not None and (before := as_made(spec, head.trace, now)) is not None:
        found = decide(before, head, contents, {}, is_forced=is_forced, is_lost=is_lost, doubt=doubt, now=now, at=at)
        if found.action is Action.CURRENT and (spec.cue or THOROUGH).on_code_change == ASK:
            edit = local_reasons(spec, head, is_forced=False, is_lost=False, now=now)
            return replace(found, action=Action.UNDECIDED, reasons=tuple(one for one in edit if one.code in _BY_EDIT))
        if found.action in (Action.CURRENT, Action.MAYBE):
            return found
    mode = "thorough" if spec.cue is None else spec.cue.mode
    reasons = local_reasons(spec, head, is_forced=is_forced, is_lost=is_lost, doubt=doubt, now=now, at=at)
    if mode == "never" and head is not None:
        reasons = [one for one in reasons if one.code in _BEYOND_CUES]
        if not reasons:
            return Decision(Action.CURRENT)
    reasons += changed_inputs(head, known)
    if key is None:
        if reasons:
            return Decision(Action.RUN, tuple(reasons))
        return Decision(Action.MAYBE, (upstream_runs(waiting),))
    is_hard = any(one.code in _HARD for one in reasons)
    if head is not None and head.trace.input_key == key and not is_hard:
        return Decision(Action.CURRENT, (), key)
    # The key covers all that the reasons compare: without any, it can only be a definition of another shape.
    why = tuple(reasons) or (_OTHER_SHAPE,)
    found = None if is_forced or mode == "always" else traces.get(key)
    if found is not None and spec.cue is not None and spec.cue.is_expired(found.trace.finished_at, at):
        found = None
    return Decision(Action.RUN, why, key) if found is None else Decision(Action.LINK, why, key, found)


def local_reasons(
    spec: AssetSpec,
    head: Head | None,
    *,
    is_forced: bool,
    is_lost: bool,
    doubt: Doubt | None = None,
    now: Discovered | None = None,
    at: float = 0.0,
) -> list[Reason]:
    """The reasons that lie in the asset itself, not in what it reads."""
    reasons = [Reason("forced", "forced")] if is_forced else []
    if spec.cue is not None and spec.cue.mode == "always":
        reasons.append(Reason("expired", "runs every time: its cue is `always`", {"cue": "always"}))
    if head is None:
        return [*reasons, Reason("never_materialized", "never materialized")]
    if spec.cue is not None and spec.cue.is_expired(head.trace.finished_at, at):
        age, ttl = at - head.trace.finished_at, spec.cue.ttl_s or 0.0
        text = f"made {words(age)} ago, and counts for {words(ttl)}"
        reasons.append(Reason("expired", text, {"age_s": round(age, 3), "ttl_s": ttl}))
    if is_lost:
        version = head.version.number
        gone = "were removed by gc" if head.version.state == "evicted" else "are gone"
        reasons.append(Reason("data_missing", f"the bytes of v{version} {gone}", {"version": version}))
    if doubt is not None and not doubt.counts(head.trace):
        reasons.append(Reason("invalidated", doubt.words, {"cause": doubt.cause, "by": doubt.user}))
    before = {(one.parameter, one.upstream): one.mode for one in head.trace.inputs if one.mode != "order"}
    today = {(one.parameter, one.upstream): one.mode for one in spec.inputs if one.mode != "order"}
    code, others = _definition_reasons(spec, head.trace)
    if code is not None:
        reasons.append(code)
    elif any(before.get(pair, mode) != mode for pair, mode in today.items()):
        reasons.append(_OTHER_SHAPE)
    reasons += others
    reasons += _discovered_reasons(spec, head, now)
    if before != today:
        reasons += _input_reasons("input_added", "now", today, before)
        reasons += _input_reasons("input_removed", "no more", before, today)
    return reasons


def _definition_reasons(spec: AssetSpec, then: Trace) -> tuple[Reason | None, tuple[Reason, ...]]:
    """What of a definition is not what it was then: of its code, and of the rest. Partitions share that mostly."""
    rests_on = (
        spec.code, spec.code_version, spec.code_parts, spec.config, spec.files, spec.env_vars, spec.packages,
        spec.package_policy, spec.cue, spec.file, spec.line,
        then.code, then.code_version, then.code_parts, then.config, then.files, then.env_vars, then.packages,
    )  # fmt: skip

    def found() -> tuple[Reason | None, tuple[Reason, ...]]:
        is_other = code_then(then) != code_now(spec) and (spec.cue or THOROUGH).code
        code = _code_reason(spec, then) if is_other else None
        return code, (*_config_reasons(spec, then), *_surrounding_reasons(spec, then))

    return _DEFINITION_REASONS.get((split_slot(spec.key)[0], then.code), rests_on, found)


_DEFINITION_REASONS = Shared[tuple[Reason | None, tuple[Reason, ...]]]()


def changed_inputs(head: Head | None, known: Sequence[tuple[InputSpec, Content]]) -> list[Reason]:
    """The inputs whose content is not what the head's trace read."""
    if head is None or not known:
        return []
    before: dict[tuple[str, AssetKey], TraceInput] = {
        (one.parameter, one.upstream): one for one in head.trace.inputs if one.mode != "order"
    }
    reasons: list[Reason] = []
    for given, content in known:
        was = before.get((given.parameter, given.upstream))
        if was is None or given.mode == "order" or was.digest == digest_of(given, content):
            continue
        if content.number is not None and content.number == was.version_number:
            continue  # the content is the same: it is read in another way, which is a matter of the definition
        to = f"v{content.number}" if content.number is not None else "new content"
        text = f"{given.upstream} v{was.version_number} → {to}"
        data = {"input": given.upstream, "from": was.version_number, "to": content.number}
        reasons.append(Reason("input_changed", text, data))
    return reasons


def upstream_runs(waiting: Iterable[AssetKey]) -> Reason:
    """The reason of an asset that may be cut off: it waits for the content of these upstreams."""
    names = list(dict.fromkeys(waiting))
    by_asset: dict[AssetKey, list[AssetKey]] = {}
    for name in names:
        by_asset.setdefault(split_slot(name)[0], []).append(name)
    shown = [found[0] for found in by_asset.values() if len(found) == 1]
    shown += [f"{asset} ({len(found)} partitions)" for asset, found in by_asset.items() if len(found) > 1]
    return Reason("upstream_runs", "← " + ", ".join(shown), {"inputs": names}, is_root=False)


def _code_reason(spec: AssetSpec, then: Trace) -> Reason:
    versions = then.code_version, spec.code_version
    if versions[0] != versions[1]:
        texts = [f"`{one}`" if one is not None else "the code itself" for one in versions]
        data = {"from": versions[0], "to": versions[1], "file": spec.file, "line": spec.line}
        return Reason("code_changed", f"code version: {texts[0]} → {texts[1]}", data)
    before, now = then.code_parts, spec.code_parts or {}
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    own = {next(iter(before), ""), next(iter(now), "")}  # the function itself comes first, whatever the asset is called
    data = {"changed": changed, "file": spec.file, "line": spec.line}
    if changed and own.isdisjoint(changed):
        return Reason("helper_changed", "helper changed: " + ", ".join(changed), data)
    return Reason("code_changed", f"code changed ({spec.file}:{spec.line})", data)


def _input_reasons(
    code: str, word: str, these: Iterable[tuple[str, AssetKey]], others: Collection[tuple[str, AssetKey]]
) -> list[Reason]:
    kept = {upstream for _, upstream in others}
    reasons: list[Reason] = []
    for parameter, upstream in these:
        if (parameter, upstream) not in others:
            name = f" as `{parameter}`" if upstream in kept else ""  # only the parameter has another name
            text = f"reads {upstream}{name} {word}"
            reasons.append(Reason(code, text, {"input": upstream, "parameter": parameter}))
    return reasons


def _config_reasons(spec: AssetSpec, then: Trace) -> list[Reason]:
    before, now = then.config, spec.config or {}
    reasons: list[Reason] = []
    if not (spec.cue or THOROUGH).config:
        return reasons
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new:
            text = f"config {name}: {old or 'unset'} → {new or 'unset'}"
            reasons.append(Reason("config_changed", text, {"field": name, "from": old, "to": new}))
    return reasons


def _surrounding_reasons(spec: AssetSpec, then: Trace) -> list[Reason]:
    reasons: list[Reason] = []
    cue = spec.cue or THOROUGH
    if cue.files and (changed := _differing(spec.files, then.files)):
        reasons.append(Reason("files_changed", f"files changed: {', '.join(changed)}", {"files": changed}))
    if cue.env and (changed := _differing(spec.env_vars, then.env_vars)):
        reasons.append(Reason("env_changed", f"environment: {', '.join(changed)}", {"variables": changed}))
    counts = moved_packages(spec, then)[0]
    if counts:
        data = {"packages": [{"package": one.name, "from": one.before, "to": one.after} for one in counts]}
        reasons.append(Reason("dependency_changed", ", ".join(one.words for one in counts), data))
    return reasons


def _discovered_reasons(spec: AssetSpec, head: Head, now: Discovered | None) -> list[Reason]:
    files, code = moved_discoveries(spec, head.trace, now)
    run = head.trace.run_id if head.trace.kind == "run" else None
    seen = "" if run is None else f" (seen in run #{run})"
    reasons: list[Reason] = []
    if now is None:
        return reasons
    if files:
        text = f"reads {_first_of(files)}, {_what_changed(files, head.trace.discovered.files, now.files)}{seen}"
        reasons.append(Reason("discovered_file", text, {"files": files, "run": run}))
    if code:
        text = f"runs {_first_of(code)}, {_what_changed(code, head.trace.discovered.code, now.code)}{seen}"
        reasons.append(Reason("discovered_code", text, {"files": code, "run": run}))
    return reasons


def _first_of(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _what_changed(paths: list[str], then: Mapping[str, str], now: Mapping[str, str]) -> str:
    if all(then[path] == UNKNOWN for path in paths):
        return "which changed while it ran"
    if all(now.get(path) == ABSENT for path in paths):
        return "which is gone" if len(paths) == 1 else "which are gone"
    if all(then[path] == ABSENT for path in paths):
        return "which was not there" if len(paths) == 1 else "which were not there"
    return "which changed"


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


_BEYOND_CUES = ("forced", "data_missing", "invalidated")
"""Reasons that run an asset whatever its cue leaves out."""

_HARD = (*_BEYOND_CUES, "expired", "dependency_changed", "discovered_file", "discovered_code")
"""Reasons that a head can have though its input key is the one of now."""

_BY_EDIT = ("code_changed", "helper_changed", "discovered_code")
"""Reasons that an edit of code gives."""

_OTHER_SHAPE = Reason("code_changed", "its definition changed")


def _hash(tag: str, parts: Iterable[str]) -> str:
    # Every part is preceded by its length, in eight bytes: joined texts could read the same for different parts.
    given = (tag, *parts)
    try:
        data = "".join([_LENGTHS[len(part)] + part for part in given]).encode("ascii")
    except (IndexError, UnicodeEncodeError):  # long ones, and those with more bytes than characters
        pieces = [part.encode() for part in given]
        data = b"".join([len(piece).to_bytes(8, "big") + piece for piece in pieces])
    return hashlib.sha256(data).hexdigest()[:32]


_LENGTHS = [number.to_bytes(8, "big").decode() for number in range(128)]
"""As most parts are short, and a hundred thousand of them are joined for a plan, their lengths are made beforehand."""
