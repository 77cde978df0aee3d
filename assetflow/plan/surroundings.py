"""What a definition is made of beside its code: packages, declared files, environment; what of it counts when.

Versions of packages are no part of an input key: they are recorded exactly, and compared by the policy that holds now.
So a stricter or looser policy makes nothing stale by itself, and a small upgrade shows as `drift` and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from assetflow.model.policies import ASK, FORWARD, REBUILD, Cue
from assetflow.model.records import UNKNOWN, Discovered, Doubt, Trace
from assetflow.model.spec import AssetSpec

POLICIES = ("compatible", "minor", "exact", "ignore")
"""What of a version must be equal: the left-most number that is not 0 (and what is before it), two numbers, all of it,
or nothing."""

THOROUGH = Cue()

_RELEASE = re.compile(r"v?(\d+(?:\.\d+)*)(.*)", re.ASCII)


class Moved(Struct, frozen=True):
    """A package that has another version than a trace recorded."""

    name: str
    before: str
    after: str

    @property
    def words(self) -> str:
        """`pandas 2.2.3 → 3.0.0`."""
        return f"{self.name} {self.before} → {self.after}"


def is_compatible(before: str, after: str, policy: str) -> bool:
    """Whether the policy takes two versions of a package for equal.

    A version that is no plain release (`3.0rc1`, `1.2+local`) is compatible with itself alone.

    Example:
        >>> is_compatible("3.1.0", "3.2.0", "compatible"), is_compatible("0.3.1", "0.4.0", "compatible")
        (True, False)
    """
    if before == after or policy == "ignore":
        return True
    old, new = _RELEASE.fullmatch(before), _RELEASE.fullmatch(after)
    if policy == "exact" or old is None or new is None or old[2] or new[2]:
        return False
    return _kept(old[1], policy) == _kept(new[1], policy)


def _kept(release: str, policy: str) -> tuple[int, ...]:
    numbers = [int(part) for part in release.split(".")]
    if policy == "minor":
        return tuple((*numbers, 0)[:2])
    first = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    return tuple(numbers[: first + 1])


def policy_of(spec: AssetSpec, package: str) -> str:
    """The policy that an asset has for a package."""
    policies = spec.package_policy
    return policies.get(package) or policies.get("*") or POLICIES[0]


def moved_packages(spec: AssetSpec, trace: Trace) -> tuple[list[Moved], list[Moved]]:
    """The packages that have another version than the trace recorded: those that count, and those that do not.

    What only one of the two knows of is left out: then the code reaches something else, which is a matter of the code.
    """
    if spec.packages == trace.packages:
        return [], []
    counts: list[Moved] = []
    drifts: list[Moved] = []
    for name in sorted(spec.packages.keys() & trace.packages.keys()):
        before, after = trace.packages[name], spec.packages[name]
        if before != after:
            is_same = is_compatible(before, after, policy_of(spec, name))
            (drifts if is_same else counts).append(Moved(name, before, after))
    return counts, drifts


def moved_discoveries(spec: AssetSpec, trace: Trace, now: Discovered | None) -> tuple[list[str], list[str]]:
    """The files that a trace saw and that are not what they were: those that were read, and those that ran.

    What the asset's cue leaves out is not among them, nor code where a version was declared for all of it. Without a
    `now` nobody looks, and nothing has moved.
    """
    return moved_since(spec, trace.discovered, now)


def moved_since(spec: AssetSpec, seen: Discovered, now: Discovered | None) -> tuple[list[str], list[str]]:
    """`moved_discoveries` of what was seen."""
    if now is None or not seen:
        return [], []
    cue = spec.cue or THOROUGH
    counts = cue.code and spec.code_version is None and cue.on_code_change != FORWARD
    return (
        _moved(seen.files, now.files) if cue.files else [],
        _moved(seen.code, now.code) if counts else [],
    )


def seen_words(trace: Trace, now: Discovered | None) -> str:
    """What the files are now that a trace saw opened, in one text; empty when there are none, or nobody looks."""
    if not trace.discovered or now is None:
        return ""
    files = [f"{name}={now.files.get(name)}" for name in sorted(trace.discovered.files)]
    return ",".join([*files, *(f"{name}={now.code.get(name)}" for name in sorted(trace.discovered.code))])


def _moved(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(path for path, digest in then.items() if digest == UNKNOWN or now.get(path) != digest)


def may_stand_for(
    spec: AssetSpec, trace: Trace, doubt: Doubt | None, now: Discovered | None = None
) -> bool:  # fmt: skip
    """Whether a trace with the right input key may be linked: it counts, and what it saw is as good as what is `now`.

    That is its packages, and the files that its function opened.

    After an invalidation only a computation counts (or what somebody accepts): a link that another environment made
    since then may lead to what was invalidated here.
    """
    if doubt is not None and not doubt.counts(trace):
        return False
    if doubt is not None and doubt.trace_id and trace.kind not in ("run", "accept"):
        return False
    return not moved_packages(spec, trace)[0] and not any(moved_discoveries(spec, trace, now))


def code_now(spec: AssetSpec) -> str:
    """What stands for the code in an input key: the declared version, or the fingerprint; nothing when it is no cue."""
    if spec.code_version is not None:
        return f"declared:{spec.code_version}"
    return spec.code if spec.cue is None or spec.cue.code else ""


def code_then(trace: Trace) -> str:
    """What stood for the code when a trace was made."""
    return trace.code if trace.code_version is None else f"declared:{trace.code_version}"


def as_made(spec: AssetSpec, trace: Trace, now: Discovered | None = None) -> AssetSpec | None:
    """The spec with the code that made a trace, when edits made since do not count by themselves for what it made.

    They do not when they are only for what is made after them, or when somebody has to say what they are for. None
    when the code is the one of now, or when an edit counts for what was made before it.
    """
    cue = spec.cue or THOROUGH
    if spec.partitions is None or cue.on_code_change == REBUILD:
        return None
    is_edited = code_then(trace) != code_now(spec)
    if cue.on_code_change == ASK and not is_edited:
        is_edited = bool(moved_discoveries(spec, trace, now)[1])
    if not is_edited:
        return None
    made = replace(spec, code=trace.code, code_version=trace.code_version)
    return made if cue.on_code_change == FORWARD else replace(made, cue=replace(cue, on_code_change=FORWARD))


def texts(spec: AssetSpec) -> tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]]:
    """The config, the files and the environment that count, by name."""
    cue = spec.cue or THOROUGH
    return (
        (spec.config or {}) if cue.config else {},
        spec.files if cue.files else {},
        spec.env_vars if cue.env else {},
    )
