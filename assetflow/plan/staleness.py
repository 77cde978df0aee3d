"""The one place that decides whether an asset is current, and that says why not.

The theory is that of constructive traces with early cut-off ("Build Systems a la Carte", Mokhov, Mitchell, Peyton
Jones, JFP 2020): an asset is a function of its definition and of the *content* of what it reads. Both go into an input
key. A head whose trace has the key that is true now is current; any other trace with that key can be linked without
computing; otherwise the asset runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from assetflow.model.keys import AssetKey
from assetflow.model.records import Head, TraceInput, Version
from assetflow.model.spec import AssetSpec, InputSpec


class Action(StrEnum):
    """What a plan does with an asset partition."""

    RUN = "run"
    MAYBE = "maybe"
    LINK = "link"
    CURRENT = "current"
    PINNED = "pinned"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an asset is not current. `code` is from the closed list, `text` a phrase for people, `data` its facts.

    codes: never_materialized, code_changed, helper_changed, config_changed, input_changed, input_added, input_removed,
    data_missing, forced, upstream_runs, made_together, source_unavailable, upstream_missing, failed_last. An asset that
    is pinned, and so left alone whatever it would need, has the reason pinned.
    """

    code: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict[str, object])
    is_root: bool = True

    def to_json(self) -> dict[str, object]:
        """The reason as JSON-able values."""
        return {"code": self.code, "text": self.text, "root": self.is_root, **self.data}


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of an upstream's content: of the version that is current, or that a source would get."""

    data_hash: str
    rows: int | None
    columns: Mapping[str, str]
    number: int | None

    @classmethod
    def of(cls, version: Version) -> Content:
        """The content of a version."""
        return cls(version.data_hash, version.rows, version.columns, version.number)


@dataclass(frozen=True, slots=True)
class Decision:
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


def input_key(spec: AssetSpec, digests: Iterable[tuple[InputSpec, str]]) -> str:
    """What the asset's content is a function of: definition, config, and what each input depends on."""
    config = [f"{name}={text}" for name, text in sorted((spec.config or {}).items())]
    inputs: list[str] = []
    for given, digest in sorted(digests, key=lambda pair: (pair[0].parameter, pair[0].upstream)):
        if given.mode != "order":
            inputs += [given.parameter, given.upstream, given.mode, ",".join(given.columns), digest]
    return "afk1:" + _hash("afk1", [spec.key, spec.code, str(len(config)), *config, *inputs])


def decide(
    spec: AssetSpec,
    head: Head | None,
    contents: Mapping[AssetKey, Content | None],
    traces: Mapping[str, Head],
    *,
    is_forced: bool = False,
    is_lost: bool = False,
) -> Decision:
    """Whether an asset is current, may be linked, must run, or waits for an upstream.

    `contents` has what each upstream holds now, None for one that is about to run and may change. `traces` are the
    asset's traces with live bytes by input key. The runner asks again, with fewer Nones, when upstreams have settled.
    """
    waiting = [one.upstream for one in spec.inputs if one.mode != "order" and contents.get(one.upstream) is None]
    known = [(one, content) for one in spec.inputs if (content := contents.get(one.upstream)) is not None]
    reasons = local_reasons(spec, head, is_forced=is_forced, is_lost=is_lost)
    reasons += changed_inputs(head, known)
    if waiting:
        if reasons:
            return Decision(Action.RUN, tuple(reasons))
        return Decision(Action.MAYBE, (upstream_runs(waiting),))
    key = input_key(spec, [(one, digest_of(one, content)) for one, content in known])
    if head is not None and head.trace.input_key == key and not is_forced and not is_lost:
        return Decision(Action.CURRENT, (), key)
    # The key covers all that the reasons compare: without any, it can only be a definition of another shape.
    why = tuple(reasons) or (_OTHER_SHAPE,)
    found = None if is_forced else traces.get(key)
    return Decision(Action.RUN, why, key) if found is None else Decision(Action.LINK, why, key, found)


def local_reasons(spec: AssetSpec, head: Head | None, *, is_forced: bool, is_lost: bool) -> list[Reason]:
    """The reasons that lie in the asset itself, not in what it reads."""
    reasons = [Reason("forced", "forced")] if is_forced else []
    if head is None:
        return [*reasons, Reason("never_materialized", "never materialized")]
    if is_lost:
        version = head.version.number
        reasons.append(Reason("data_missing", f"the bytes of v{version} are gone", {"version": version}))
    before = {(one.parameter, one.upstream): one.mode for one in head.trace.inputs if one.mode != "order"}
    now = {(one.parameter, one.upstream): one.mode for one in spec.inputs if one.mode != "order"}
    if head.trace.code != spec.code:
        reasons.append(_code_reason(spec, head))
    elif any(before.get(pair, mode) != mode for pair, mode in now.items()):
        reasons.append(_OTHER_SHAPE)
    reasons += _config_reasons(spec, head)
    reasons += _input_reasons("input_added", "now", now, before)
    reasons += _input_reasons("input_removed", "no more", before, now)
    return reasons


def changed_inputs(head: Head | None, known: Iterable[tuple[InputSpec, Content]]) -> list[Reason]:
    """The inputs whose content is not what the head's trace read."""
    if head is None:
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
    names = tuple(dict.fromkeys(waiting))
    return Reason("upstream_runs", "← " + ", ".join(names), {"inputs": list(names)}, is_root=False)


def _code_reason(spec: AssetSpec, head: Head) -> Reason:
    before, now = head.trace.code_parts, spec.code_parts or {}
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    own = {next(iter(before), ""), next(iter(now), "")}  # the function itself comes first, whatever the asset is called
    data: dict[str, object] = {"changed": changed, "file": spec.file, "line": spec.line}
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


def _config_reasons(spec: AssetSpec, head: Head) -> list[Reason]:
    before, now = head.trace.config, spec.config or {}
    reasons: list[Reason] = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new:
            text = f"config {name}: {old or 'unset'} → {new or 'unset'}"
            reasons.append(Reason("config_changed", text, {"field": name, "from": old, "to": new}))
    return reasons


_OTHER_SHAPE = Reason("code_changed", "its definition changed")


def _hash(tag: str, parts: Iterable[str]) -> str:
    # Every part is preceded by its length: joined texts could read the same for different parts.
    digest = hashlib.sha256()
    for part in (tag, *parts):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:32]
