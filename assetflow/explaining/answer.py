"""What `why` answers: root causes with their evidence, as values that screens and JSON show."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from assetflow.automation.eager import Condition
from assetflow.model.keys import AssetKey
from assetflow.plan.lateness import LateCause


class GitChange(Struct, frozen=True):
    """Who last changed some lines, says git; `commit` is empty for what is not committed yet. `at` is UTC seconds."""

    commit: str
    author: str = ""
    at: float | None = None
    summary: str = ""

    def to_json(self) -> dict[str, object]:
        """The change as JSON-able values."""
        return {"commit": self.commit or None, "author": self.author or None, "at": self.at, "summary": self.summary}


class CodeEvidence(Struct, frozen=True):
    """What changed in one piece of code.

    `name` is the function, class or value; change: changed, added or removed. `lines` is the difference of its texts,
    each with `-`, `+` or a space before it; `hidden` counts lines that were left out. `chain` is the way from the
    asset's function to the piece, in names. `old` and `new` are the fingerprints. `note` says what the lines cannot.
    """

    name: str
    change: str
    file: str
    line: int
    lines: tuple[str, ...] = ()
    hidden: int = 0
    chain: tuple[str, ...] = ()
    old: str | None = None
    new: str | None = None
    git: GitChange | None = None
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """The evidence as JSON-able values."""
        return {
            "kind": "code", "symbol": self.name, "change": self.change, "file": self.file or None,
            "line": self.line or None, "diff": list(self.lines), "hidden_lines": self.hidden,
            "chain": list(self.chain), "old": self.old, "new": self.new,
            "git": None if self.git is None else self.git.to_json(), "note": self.note or None,
        }  # fmt: skip


class DataEvidence(Struct, frozen=True):
    """What changed in an input: its `columns` whose content differs, lines of its `schema`, and counts of `rows`.

    `sample` holds a few changed rows as texts. `note` says why something of this is not known.
    """

    columns: tuple[str, ...] = ()
    schema: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    total: int | None = None
    sample: tuple[str, ...] = ()
    note: str = ""
    file: str = ""
    git: GitChange | None = None

    def to_json(self) -> dict[str, object]:
        """The evidence as JSON-able values."""
        return {
            "kind": "data", "columns": list(self.columns), "schema": list(self.schema), "rows": dict(self.rows),
            "total_rows": self.total, "sample": list(self.sample), "note": self.note or None,
            "file": self.file or None, "git": None if self.git is None else self.git.to_json(),
        }  # fmt: skip


class Cause(Struct, frozen=True):
    """One root cause. `path` leads from the asset that has it to the one that was asked about; `others` have it too.

    A cause that partitions share is one. Where it is about an input, `also` are the other partitions of the input of
    which the same is to be said; the evidence is that of the first.
    """

    code: str
    text: str
    path: tuple[AssetKey, ...]
    data: Mapping[str, object] = field(default_factory=dict[str, object])
    others: tuple[AssetKey, ...] = ()
    evidence: CodeEvidence | DataEvidence | None = None
    also: tuple[AssetKey, ...] = ()

    @property
    def asset(self) -> AssetKey:
        """The asset that has the reason."""
        return self.path[0]

    def to_json(self) -> dict[str, object]:
        """The cause as JSON-able values."""
        return {
            "code": self.code, "text": self.text, "asset": self.asset, "path": list(self.path),
            "others": list(self.others), "also": list(self.also), "data": dict(self.data),
            "evidence": None if self.evidence is None else self.evidence.to_json(),
        }  # fmt: skip


class Standing(Struct, frozen=True):
    """Where the asset stands: its current version, when it was computed and last found to be right (UTC seconds)."""

    version: int
    computed_at: float
    verified_at: float
    as_of: float | None
    run: int | None
    kind: str
    reason: str = ""
    inputs: tuple[tuple[AssetKey, int | None], ...] = ()

    def to_json(self) -> dict[str, object]:
        """The standing as JSON-able values."""
        return {
            "version": self.version, "computed_at": self.computed_at, "verified_at": self.verified_at,
            "as_of": self.as_of, "run": self.run, "made_by": self.kind, "reason": self.reason or None,
            "inputs": [{"asset": key, "version": number} for key, number in self.inputs],
        }  # fmt: skip


class Why(Struct, frozen=True):
    """Why an asset is what it is.

    action: what a plan would do with it (run, maybe, link, current, pinned, blocked); `source` for a source, `compared`
    with `against`. `maybe_skipped` are the upstreams whose content decides whether it runs at all; `below` counts the
    assets downstream that may follow. `not_causes` are things that one might suspect, and that did not change. `link`
    is the version that fits again. `late_s` is by how much the data is older than its policy allows, in seconds, and
    `late` what makes it so; that is no cause for which the asset would run.
    """

    asset: AssetKey
    env: str
    action: str
    causes: tuple[Cause, ...]
    standing: Standing | None
    against: str = ""
    maybe_skipped: tuple[AssetKey, ...] = ()
    below: int = 0
    not_causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    link: int | None = None
    can_accept: bool = False
    late_s: float = 0.0
    late: LateCause | None = None

    def to_json(self) -> dict[str, object]:
        """The answer as JSON-able values."""
        return {
            "asset": self.asset, "env": self.env, "action": self.action, "against": self.against or None,
            "causes": [one.to_json() for one in self.causes],
            "current": None if self.standing is None else self.standing.to_json(),
            "maybe_skipped": list(self.maybe_skipped), "downstream": self.below, "not_causes": list(self.not_causes),
            "notes": list(self.notes), "link_version": self.link, "late_seconds": self.late_s,
            "late": None if self.late is None else self.late.to_json(),
        }  # fmt: skip


class WhyNot(Struct, frozen=True):
    """Why an asset did not run in the last run. `code` is from a closed list; `ran` when it did run.

    codes: ran, no_run, current, cut_off, pinned, blocked_by_failure, blocked_by_check, excluded, skipped, failed,
    cancelled, external (a source is never run). `conditions` say what could run it by itself, and what each rests on.
    """

    asset: AssetKey
    code: str
    text: str
    run: int | None = None
    at: float | None = None
    facts: tuple[str, ...] = ()
    next: str = ""
    conditions: tuple[Condition, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The answer as JSON-able values."""
        return {
            "asset": self.asset, "code": self.code, "text": self.text, "run": self.run, "at": self.at,
            "facts": list(self.facts), "next": self.next or None,
            "conditions": [one.to_json() for one in self.conditions],
        }  # fmt: skip
