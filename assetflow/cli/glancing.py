"""The answers that both ways give, from what they hold: the long way has just found it out, the short one noted it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from assetflow.cli.answer import Answer
from assetflow.cli.render_current import no_op_line, nothing_line, outcome_columns, plan_columns
from assetflow.cli.render_glance import Glance, Place, Shown, asset_table, counts_line, sorted_rows, status_table
from assetflow.cli.table import Table
from assetflow.cli.text import Line, dim


class Timed(Place, Shown, Protocol):
    """A place that knows how long the call has taken."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the call began."""
        ...


class Seen:
    """What a look at the selected assets found: their rows, and what is to be said below them.

    `others` are environments of which something is recorded where nothing is of this one; `total` counts the assets and
    sources of the project.
    """

    __slots__ = ("env", "others", "rows", "total")

    def __init__(self, env: str, rows: Sequence[Glance], others: Sequence[str], total: int) -> None:
        self.env, self.rows, self.others, self.total = env, rows, others, total

    def to_json(self) -> dict[str, object]:
        """It as JSON-able values."""
        rows = [row.to_json() for row in self.rows]
        return {"env": self.env, "others": [*self.others], "total": self.total, "rows": rows}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Seen:
        """What `to_json` gave."""
        return cls(data["env"], [Glance(*row) for row in data["rows"]], data["others"], data["total"])


def question(verb: str, selection: Sequence[str] | str | None, *parts: str) -> str:
    """The name of a question, under which its answer is kept."""
    text = selection if isinstance(selection, str) else " ".join(selection or ())
    return "\0".join([verb, *parts, text])


def spliced(lead: str, texts: Sequence[str], end: str) -> str:
    """A document whose list stands apart, each item of it as JSON on a line."""
    return f"{lead}{', '.join(texts)}{end}"


def ls_answer(seen: Seen, place: Timed, selection: Sequence[str], by: str, data: Callable[[], object]) -> Answer:
    """The answer of `ls`."""
    rows = sorted_rows(seen.rows, by)
    return Answer(
        data, table=asset_table(rows, place), below=below(seen, place, selection), hints=of_environment(seen)
    )  # fmt: skip


def status_answer(
    seen: Seen, place: Timed, selection: Sequence[str], data: Callable[[], object], *, verbose: bool, exits: bool
) -> Answer:
    """The answer of `status`, but for deadlines alone."""
    return Answer(
        data,
        table=status_table(seen.rows, place, is_verbose=verbose),
        below=below(seen, place, selection),
        hints=of_environment(seen),
        exit_code=4 if exits and is_bad(seen) else 0,
    )


def is_bad(seen: Seen) -> bool:
    """Whether something is to be done about an asset, or one is late."""
    good = ("current", "pinned", "source", "running")
    return any(row.timeliness == "overdue" or row.state not in good for row in seen.rows)


def below(seen: Seen, place: Timed, selection: Sequence[str]) -> tuple[Line, ...]:
    """What stands below the rows."""
    if not seen.rows and selection:
        return ((f" nothing selected: `{' '.join(selection)}` matches 0 of {seen.total}",),)
    return (counts_line(seen.rows, place.elapsed_s),)


def of_environment(seen: Seen) -> tuple[Line, ...]:
    """What to know of an environment of which nothing is recorded: its name may be a slip."""
    if not seen.others:
        return ()
    return ((dim(f" nothing is recorded in env {seen.env} yet; there are: {', '.join(seen.others)}"),),)


def empty_plan_answer(found: Mapping[str, Any], place: Timed, data: Callable[[], object]) -> Answer:
    """The answer of `plan` when there is nothing to do."""
    return Answer(data, [nothing_line(found["assets"], found["pinned"], place.elapsed_s)], Table(plan_columns(), ()))


def no_op_answer(found: Mapping[str, Any], place: Timed) -> Answer:
    """The answer of `materialize` when there was nothing to do."""
    line = no_op_line(found["current"], place.elapsed_s, found["saved_s"], found["pinned"])
    return Answer(
        lambda: {**found["document"], "seconds": place.elapsed_s}, [line], Table(outcome_columns(), ())
    )  # fmt: skip
