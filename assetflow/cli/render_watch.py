"""The lines of `watch`: what is new in a plan since the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from assetflow.cli.text import Line, Piece, cells, clip, count, dim, good, state_mark, strong
from assetflow.load.saves import words

_MOST_ROWS = 20
_STATES = {
    "run": "stale", "maybe": "maybe", "link": "reusable", "blocked": "blocked", "pinned": "pinned",
    "undecided": "undecided",
}  # fmt: skip
_COUNTED = {
    "run": "to run", "maybe": "maybe", "link": "to reuse", "blocked": "blocked", "pinned": "pinned",
    "undecided": "undecided",
}  # fmt: skip


class Item(Struct, frozen=True):
    """What a plan does with an asset, and why."""

    action: str
    why: str
    is_new: bool


def items_of(data: Mapping[str, object]) -> dict[str, Item]:
    """The assets of the document of a plan."""
    found: dict[str, Item] = {}
    for item in cast("list[dict[str, object]]", data["items"]):
        texts = [str(reason["text"]) for reason in cast("list[dict[str, object]]", item["reasons"])]
        found[str(item["asset"])] = Item(str(item["action"]), " · ".join(texts), item["base_version"] is None)
    return found


def begin_line(files: int, name: str, *, is_running: bool) -> Line:
    """What is watched, and how it ends."""
    verb = "watching and running" if is_running else "watching"
    return (dim(f" {verb} {name} · {count(files, 'file')} · ctrl-c stops it"),)


def plan_changes(
    before: Mapping[str, Item] | None, now: Mapping[str, Item], changed: tuple[str, ...], clock: str, width: int
) -> list[Line]:
    """One line with the sum, and one for each asset about which the plan says something else than before."""
    told = {key: item for key, item in now.items() if item.action != "current" and (before or {}).get(key) != item}
    settled = [key for key, item in now.items() if item.action == "current" and _was_pending(before, key)]
    gone = [key for key in before or {} if key not in now]
    saved = f"{words(changed)} saved · " if changed else ""
    lines: list[Line] = [(f" {clock}  ", strong(saved), *_sum(now, is_same=_is_same(before, now, told, settled, gone)))]
    wide = min(max((cells(key) for key in (*told, *settled, *gone)), default=0), 40)
    rows: list[Line] = []
    for key, item in told.items():
        state = "missing" if item.is_new and item.action == "run" else _STATES.get(item.action, "other")
        why = clip(item.why, max(12, width - wide - 9))
        rows.append(("   ", state_mark(state), " ", strong(_padded(key, wide)), "  ", why))
    rows += [("   ", state_mark("current"), " ", strong(_padded(key, wide)), "  ", good("current")) for key in settled]
    rows += [("   ", dim("–"), " ", strong(_padded(key, wide)), "  ", dim("no longer declared")) for key in gone]
    lines += rows[:_MOST_ROWS]
    if len(rows) > _MOST_ROWS:
        lines.append((dim(f"   … {len(rows) - _MOST_ROWS} more: assetflow plan"),))
    return lines


def _was_pending(before: Mapping[str, Item] | None, key: str) -> bool:
    was = None if before is None else before.get(key)
    return was is not None and was.action != "current"


def _is_same(before: Mapping[str, Item] | None, now: Mapping[str, Item], *news: object) -> bool:
    return before is not None and before.keys() == now.keys() and not any(news)


def _sum(now: Mapping[str, Item], *, is_same: bool) -> list[Piece]:
    counts = Counter(item.action for item in now.values())
    parts = [f"{counts[action]} {word}" for action, word in _COUNTED.items() if counts[action]]
    if not parts:
        found: list[Piece] = [good(f"all {counts['current']:,} current")]
    else:
        found = [" · ".join([*parts, f"{counts['current']:,} current"])]
    return ["the plan stays: ", *found] if is_same else found


def _padded(text: str, wide: int) -> str:
    return text + " " * max(0, wide - cells(text))
