"""What `plan` and `materialize` say when there is nothing to do. On the shortest way, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from assetflow.cli.table import Column
from assetflow.cli.text import Line, Span, dim, good
from assetflow.model.durations import words


def nothing_line(
    amount: int, pinned_names: Sequence[str], elapsed_s: float, *, is_undecided: bool = False
) -> Line:  # fmt: skip
    """The one line of a plan that is empty: `nothing to do`, of so many assets, some of them pinned."""
    if not amount and not is_undecided:
        return (" nothing to do · no assets selected",)
    pinned = f" · {pinned_words(pinned_names)}" if pinned_names else ""
    is_all = not pinned and not is_undecided
    current = f"all {amount:,} current" if is_all else f"{amount - len(pinned_names):,} current"
    return (" nothing to do · ", Span(current, "good"), f"{pinned} · checked in {words(elapsed_s)}")


def no_op_line(
    current: int, elapsed_s: float, saved_s: float, pinned: Sequence[str] = (), *, is_undecided: bool = False
) -> Line:
    """` ● all 14 current · nothing to do · 38 ms (saved ≈ 52 s)`; what is `pinned` is named, as in a plan."""
    if pinned or is_undecided:
        what = f"{current:,} current"
        named = f" · {pinned_words(pinned)}" if pinned else ""
        return (" nothing to do · ", good(what), f"{named} · {words(elapsed_s)}")
    if not current:
        return (" nothing selected · nothing to do",)
    saved = dim(f" (saved ≈ {words(saved_s)})") if saved_s >= 0.1 else ""
    what = "it is current" if current == 1 else f"all {current:,} current"
    return (" ", good(f"● {what}"), f" · nothing to do · {words(elapsed_s)}", saved)


def pinned_words(names: Sequence[str], limit: int = 4) -> str:
    """`2 pinned: fx_rates@3, orders@7`."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} pinned: {', '.join(names[:limit])}{more}"


def plan_columns() -> tuple[Column, ...]:
    """The columns of a plan as a table."""
    return (
        Column("action", "ACTION"),
        Column("asset", "ASSET"),
        Column("reasons", "WHY"),
        Column("estimate_seconds", "EST.", is_right=True),
    )


def outcome_columns() -> tuple[Column, ...]:
    """The columns of what a run did as a table."""
    return (
        Column("asset", "ASSET"),
        Column("state", "STATE"),
        Column("version", "VERSION", is_right=True),
        Column("rows", "ROWS", is_right=True),
        Column("bytes", "SIZE", is_right=True),
        Column("seconds", "TOOK", is_right=True),
        Column("message", "MESSAGE"),
    )
