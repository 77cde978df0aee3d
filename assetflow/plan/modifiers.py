"""What is to be said of an asset beside its state: what drifts, what could not be seen, what is gone."""

from __future__ import annotations

from msgspec import Struct

from assetflow.model.policies import FORWARD
from assetflow.model.records import Head
from assetflow.model.spec import AssetSpec
from assetflow.plan.surroundings import THOROUGH, as_made, moved_packages

WORDS = (
    "failed", "blocked", "last_good", "lost", "evicted", "drift", "accepted", "nondeterministic", "widened", "opaque",
    "dynamic", "volatile", "bytecode", "forward",
)  # fmt: skip
"""Every modifier, in the order in which they are shown."""


class Modifier(Struct, frozen=True):
    """One thing to be said of an asset: a word of `WORDS`, and what it is about."""

    word: str
    text: str = ""

    def to_json(self) -> dict[str, object]:
        """The modifier as JSON-able values."""
        return {"word": self.word, "text": self.text}


def modifiers(spec: AssetSpec, head: Head | None, *, is_lost: bool, is_unsteady: bool) -> tuple[Modifier, ...]:
    """What is to be said of an asset, whatever its state is."""
    found: list[Modifier] = []
    if head is not None and not spec.is_source:
        if is_lost:
            is_evicted = head.version.state == "evicted"
            gone = "was removed by gc" if is_evicted else "is gone"
            found.append(Modifier("evicted" if is_evicted else "lost", f"what v{head.version.number} was {gone}"))
        if drift := drift_words(spec, head):
            found.append(Modifier("drift", drift))
        if head.trace.kind == "accept":
            by = str(head.trace.metadata.get("assetflow/by", ""))
            reason = str(head.trace.metadata.get("assetflow/reason", ""))
            found.append(Modifier("accepted", ", ".join([text for text in (by, reason) if text])))
        if (spec.cue or THOROUGH).on_code_change == FORWARD and as_made(spec, head.trace) is not None:
            found.append(Modifier("forward", "made by the code of before; an edit is for what is made after it"))
        if is_unsteady:
            found.append(Modifier("nondeterministic", "the same code and inputs gave different contents"))
    for note in spec.code_notes:
        if note.kind in WORDS:
            found.append(Modifier(note.kind, f"{note.name}: {note.text}" if note.text else note.name))
    return tuple(found)


def drift_words(spec: AssetSpec, head: Head) -> str:
    """What is not as it was when the current version was made, and does not count: packages, code that is declared."""
    words = [one.words for one in moved_packages(spec, head.trace)[1]]
    version = spec.code_version
    if version is not None and head.trace.code_version == version and head.trace.code not in ("", spec.code):
        words.append(f"the code has changed since version `{version}` was declared")
    return ", ".join(words)
