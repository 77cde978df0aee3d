"""`verify`: running assets again on the same inputs, and comparing."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, add_selection, natural, positive, selection_text
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import Line, Span, aligned, bad, clip, count, dim, good, shell, strong, warn
from assetflow.errors import NotReproduced, UsageError
from assetflow.io.diff_results import TableDiff, ValueDiff
from assetflow.model.durations import words
from assetflow.model.keys import split_slot

if TYPE_CHECKING:
    from assetflow.checking.verifying import Verification, Verified
    from assetflow.cli.session import Session

_MARKS = {"same": good("≡"), "differs": bad("✗"), "failed": bad("✗"), "cannot": dim("·")}


def verify(session: Session, options: Namespace) -> Answer:
    """Run again on the same inputs, and compare."""
    expression = selection_text(options)
    if expression is None and options.sample is None:
        raise UsageError(
            "`assetflow verify` runs assets again, so it wants to know which", fix="assetflow verify orders"
        )
    project = session.project()
    is_live = session.screen.is_terminal_err and not (options.quiet or session.screen.is_json)
    with session.screen.live() if is_live else nullcontext() as live:

        def show(one: Verified) -> None:
            if live is not None:
                live.update([_row_line(one, session.width)])

        found = project.verify(expression, sample=options.sample, seed=options.seed, on_result=show)
    failure = _failure(found)
    return Answer(
        found.to_json,
        verify_lines(found, session.elapsed_s, session.width),
        verify_table(found),
        hints=_hints(found),
        exit_code=0 if failure is None else 1,
        failure=failure,
    )


def _failure(found: Verification) -> NotReproduced | None:
    bad_ones = [one for one in found if one.state in ("differs", "failed")]
    if not bad_ones:
        return None
    differing = [one.asset for one in bad_ones if one.state == "differs"]
    failed = [one.asset for one in bad_ones if one.state == "failed"]
    parts = [f"{_names(differing)} came out differently"] if differing else []
    parts += [f"{_names(failed)} failed"] if failed else []
    return NotReproduced(", ".join(parts))


def _names(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(f"`{key}`" for key in keys[:3]) + more


def verify_lines(found: Verification, elapsed_s: float, width: int) -> list[Line]:
    """The whole screen: one row for each asset, below it what differs, and the sum."""
    rows: list[tuple[Line | Span | str, ...]] = []
    below: list[list[Line]] = []
    for one in found:
        name = one.asset if one.version is None else f"{one.asset}@{one.version}"
        rows.append(((_MARKS[one.state], " ", strong(name)), _word(one), dim(_note(one))))
        below.append(_detail(one, width))
    lines: list[Line] = []
    for line, more in zip(aligned(rows), below, strict=True):
        lines += [line, *more]
    if not found.items:
        return [(" nothing to run again: only sources are selected",)]
    states = [one.state for one in found]
    parts = [count(states.count("same"), "the same", "the same")]
    parts += [count(states.count(state), *both) for state, both in _SUMS.items() if states.count(state)]
    parts += [f"{found.left_out} not drawn (--seed {found.seed} draws these again)"] if found.left_out else []
    lines.append((dim(f" {' · '.join(parts)} · nothing was stored · {words(elapsed_s)}"),))
    return lines


_SUMS = {"differs": ("differs", "differ"), "failed": ("failed",) * 2, "cannot": ("cannot be run again",) * 2}


def _word(one: Verified) -> Span:
    if one.state == "same":
        return good("same")
    if one.state == "cannot":
        return dim("cannot")
    return bad("differs") if one.state == "differs" else bad("failed")


def _note(one: Verified) -> str:
    parts = [words(one.seconds)] if one.state in ("same", "differs") else []
    if one.why:
        parts.append(one.why)
    if one.changed:
        parts.append(f"with the {' and '.join(one.changed)} as it is now, not as it was")
    if one.is_nondeterministic:
        parts.append("nondeterministic: same code, same inputs")
    return " · ".join(parts)


def _row_line(one: Verified, width: int) -> Line:
    return (" ", _MARKS[one.state], " ", strong(one.asset), "  ", _word(one), "  ", dim(clip(_note(one), width)))


def _detail(one: Verified, width: int) -> list[Line]:
    if one.error is not None and one.error.file is not None:
        return [(f"     {one.error.file}:{one.error.line}",)]
    if isinstance(one.diff, TableDiff):
        return _table_detail(one.diff, width)
    if isinstance(one.diff, ValueDiff):
        lines: list[Line] = [(f"     {path.path}: {path.old!r} → {path.new!r}",) for path in one.diff.paths[:3]]
        return [*lines, *((dim(f"     {note}"),) for note in one.diff.notes)]
    return []


def _table_detail(diff: TableDiff, width: int) -> list[Line]:
    lines: list[Line] = []
    rows = [f"{number:,} {word}" for number, word in _row_counts(diff) if number]
    schema = diff.schema
    if not schema.is_empty:
        names = [f"+ {name}" for name, _ in schema.added] + [f"- {name}" for name, _ in schema.removed]
        names += [f"{one.name}: {one.old} → {one.new}" for one in schema.retyped]
        names += ["other order of columns"] if schema.is_reordered and not names else []
        lines.append((clip(f"     schema   {', '.join(names)}", width),))
    if diff.columns:
        names = [one.name if one.changed is None else f"{one.name} ({one.changed:,})" for one in diff.columns]
        lines.append((clip(f"     columns  {', '.join(names)}", width),))
    if rows:
        whole = diff.old.rows
        of = "" if whole is None else f" of {whole:,}"
        lines.append((clip(f"     rows     {', '.join(rows)}{of}", width),))
    lines += [(dim(clip(f"     {note}", width)),) for note in diff.notes[:2]]
    return lines


def _row_counts(diff: TableDiff) -> tuple[tuple[int | None, str], ...]:
    return ((diff.changed, "changed"), (diff.added, "added"), (diff.removed, "removed"))


def _hints(found: Verification) -> list[Line]:
    shaky = list(dict.fromkeys(split_slot(one.asset)[0] for one in found if one.is_nondeterministic))
    if shaky:
        return [
            (warn(" look for"), f"  clock, chance, order of rows: {shell(['assetflow', 'check', *shaky[:3]])}"),
            ("           or what changed and no fingerprint sees: a database, a variable, a package",),
        ]
    return []


def verify_table(found: Verification) -> Table:
    """One row for each asset, for programs."""
    columns = (
        Column("asset", "ASSET"), Column("version", "VERSION", is_right=True), Column("state", "STATE"),
        Column("seconds", "SECONDS", is_right=True), Column("columns", "COLUMNS"), Column("why", "WHY"),
    )  # fmt: skip
    return Table(
        columns,
        tuple(
            (cell(one.asset), cell(one.version), cell(one.state), cell(round(one.seconds, 3)),
             cell(", ".join(one.columns)), cell(_note(one)))
            for one in found
        ),
    )  # fmt: skip


def _options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--sample", type=positive, metavar="K", help="at most K of them, drawn by chance")
    parser.add_argument("--seed", type=natural, metavar="N", help="draw the same ones as the call that said this seed")


COMMANDS = {
    "verify": Command(
        verify,
        _options,
        (("assetflow verify orders", "is it still what the code makes of the same inputs?"),
         ("assetflow verify 'orders[2026-01-05]'", "one of its partitions"),
         ("assetflow verify --sample 5", "five assets drawn by chance: for a nightly job"),
         ("assetflow verify orders+ --json", "what differs, for programs")),
    ),
}  # fmt: skip
