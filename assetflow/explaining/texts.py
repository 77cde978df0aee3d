"""The smallest piece of text that shows how old and new code differ, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from assetflow.model.code import CodeSource

MOST_LINES = 14
_WIDE = 60


def changed_lines(old: CodeSource | None, new: CodeSource | None) -> tuple[tuple[str, ...], int, range]:
    """The lines that differ with one line around them, how many were left out, and the changed lines of the new text.

    Lines begin with `-`, `+` or a space. The range counts from the top of the new text's file, and is empty where
    lines were only taken away; its start is then where they stood.
    """
    was = [] if old is None else old.text.splitlines()
    now = [] if new is None else new.text.splitlines()
    if len(was) <= 1 and len(now) <= 1:
        lines = [f"{sign} {text}" for sign, text in zip("-+", _windows(was, now), strict=True) if text]
        line = 1 if new is None else max(new.line, 1)
        return tuple(lines), 0, range(line, line + len(now))
    matcher = SequenceMatcher(None, was, now, autojunk=False)
    lines = list(_grouped(matcher, was, now))
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    base = 1 if new is None else max(new.line, 1)
    first = changes[0][3] if changes else 0
    last = next((code[4] for code in changes if code[4] > code[3]), first)
    shown = lines[:MOST_LINES]
    return tuple(shown), len(lines) - len(shown), range(base + first, base + last)


def _grouped(matcher: SequenceMatcher[str], was: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    for place, group in enumerate(matcher.get_grouped_opcodes(1)):
        if place:
            yield "  …"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f"  {text}" for text in was[i1:i2])
                continue
            yield from (f"- {text}" for text in was[i1:i2])
            yield from (f"+ {text}" for text in now[j1:j2])


def _windows(was: Sequence[str], now: Sequence[str]) -> tuple[str, str]:
    """Two single lines, cut around the place where they begin to differ when they are long."""
    old, new = "".join(was), "".join(now)
    if max(len(old), len(new)) <= _WIDE:
        return old, new
    same = next(
        (n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    start = max(0, same - 20)
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    end = start + _WIDE
    return f"{'…' if start and text else ''}{text[start:end]}{'…' if len(text) > end else ''}"


def chain(parts: Mapping[str, str], sources: Mapping[str, CodeSource], goal: str) -> tuple[str, ...]:
    """The shortest way from an asset's own function to one of its parts, by what the texts refer to.

    `parts` has the function itself first. When the way is not in the texts, it is only these two.
    """
    start = next(iter(parts), goal)
    ways: dict[str, tuple[str, ...]] = {start: (start,)}
    waiting = [start]
    for name in waiting:  # grows while it is walked: breadth first
        if name == goal:
            return ways[name]
        source = sources.get(parts[name])
        for label in () if source is None else source.refers:
            other = _part(parts, label.partition(" -> ")[2])
            if other is not None and other not in ways:
                ways[other] = (*ways[name], other)
                waiting.append(other)
    return (start, goal) if start != goal else (goal,)


def _part(parts: Mapping[str, str], full: str) -> str | None:
    """The part that a full name such as `shop.tax.net` means: parts have the last of it, as far as that is enough."""
    while full:
        if full in parts:
            return full
        full = full.partition(".")[2]
    return None
