"""The screen of `why`: root causes, the lines and rows that changed, and the ways out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from assetflow.cli.render_errors import local_paths
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import (
    BLANK,
    Line,
    Piece,
    Span,
    bad,
    cells,
    clip,
    count,
    dim,
    good,
    head,
    shell,
    state_words,
    strong,
    warn,
    wrapped,
)
from assetflow.cli.verbs import BY_NAME
from assetflow.explaining.answer import CodeEvidence, DataEvidence
from assetflow.model.durations import words as duration
from assetflow.model.keys import arguments_of

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.explaining.answer import Cause, GitChange, Standing, Why, WhyNot

_LABEL = 14
_INDENT = " " * (_LABEL + 6)
_MOST_PATH = 12
_MOST_CAUSES = 12


def why_lines(found: Why, session: Session) -> list[Line]:
    """The whole screen."""
    lines: list[Line] = [_title(found)]
    for place, cause in enumerate(found.causes[:_MOST_CAUSES]):
        lines += [BLANK, *_cause(cause, place + 1, session)]
    if len(found.causes) > _MOST_CAUSES:
        lines += [BLANK, (dim(f"    … {count(len(found.causes) - _MOST_CAUSES, 'more cause')}: --json has all"),)]
    if found.causes:
        lines.append(BLANK)
    lines += _labelled(_foot(found, session), session.width)
    return lines


def _title(found: Why) -> Line:
    name = strong(found.asset)
    roots = count(len(found.causes), "root cause")
    below = f" · {count(found.below, 'asset')} below may follow" if found.below else ""
    match found.action:
        case "run":
            verb = warn("would RUN" if found.standing is not None else "would be made for the first time")
            return (" ", name, " ", verb, f" — {roots}{below}")
        case "maybe":
            return (" ", name, " ", warn("MAY run"), f" — {roots}, and the content above it decides{below}")
        case "link":
            text = f" — {roots}, and v{found.link} fits again: nothing is computed"
            return (" ", name, " ", good("would be linked"), text)
        case "blocked":
            return (" ", name, " ", bad("cannot be built now"), f" — {roots}")
        case "source":
            return (" ", name, f" is a source: it is only looked at{' — ' + roots if found.causes else ''}")
        case "compared":
            text = roots if found.causes else "made of the same"
            version = "" if found.standing is None else f"@{found.standing.version}"
            return (" ", strong(found.asset + version), " and ", strong(found.against), f" — {text}")
        case "pinned":
            return (" ", name, " ", state_words("pinned"))
        case "undecided":
            return (" ", name, " is ", state_words("undecided"), f" — {roots}: is that for it?")
        case _:
            return (" ", name, " is ", state_words("current"))


def _cause(cause: Cause, number: int, session: Session) -> Iterator[Line]:
    width = session.width
    code = cause.code + " " * max(1, _LABEL + 1 - cells(cause.code))
    words = local_paths(cause.text, str(session.project().root)).split()
    yield from wrapped((head(f" {number}  "), warn(code), " "), [*words], width=width, separator=" ")
    way = _way(cause)
    if len(way) > 1:
        shown = way if len(way) <= _MOST_PATH else [*way[:6], "…", *way[-5:]]
        yield from wrapped((_INDENT, dim("way  ")), _arrows(shown), width=width, separator=" ")
    yield from _also(cause.others, width)
    if isinstance(cause.evidence, CodeEvidence):
        yield from _code(cause.evidence, session)
    elif isinstance(cause.evidence, DataEvidence):
        yield from _data(cause.evidence, session)
    yield from _also(cause.also, width)  # the evidence is that of the first


def _also(names: Sequence[str], width: int) -> Iterator[Line]:
    if names:
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        yield (_INDENT, dim(clip(f"also {', '.join(names[:4])}{more}", width - len(_INDENT))))


def _way(cause: Cause) -> list[str]:
    """From the changed piece of code, by what uses it, to the asset that was asked about."""
    if isinstance(cause.evidence, CodeEvidence):
        inside = list(reversed(cause.evidence.chain[1:]))
        if cause.evidence.change == "removed" and not inside and cause.evidence.name != cause.asset:
            inside = [cause.evidence.name]
        return [*inside, *cause.path]
    changed = str(cause.data.get("input", ""))
    start = [changed] if changed and changed not in cause.path else []
    return [*start, *cause.path]


def _arrows(way: Sequence[str]) -> list[Piece]:
    return [name if place == len(way) - 1 else f"{name} →" for place, name in enumerate(way)]


def _code(evidence: CodeEvidence, session: Session) -> Iterator[Line]:
    if evidence.file:
        yield (_INDENT, head(session.place(evidence.file, evidence.line)))
    for shown in _fitting([text.expandtabs(4) for text in evidence.lines], session.width - len(_INDENT) - 1):
        yield (_INDENT, bad(shown) if shown.startswith("-") else good(shown) if shown.startswith("+") else dim(shown))
    if evidence.hidden:
        yield (_INDENT, dim(f"  … {count(evidence.hidden, 'more line')}"))
    facts: list[str] = []
    if evidence.old and evidence.new:
        facts.append(f"fingerprint {_short(evidence.old)} → {_short(evidence.new)}")
    if evidence.git is not None:
        facts.append(_git(evidence.git, session))
    if evidence.lines and evidence.change == "changed":
        facts.append("more than comments or layout")
    if evidence.note:
        facts.append(evidence.note)
    if facts:
        yield from wrapped((_INDENT,), [dim(fact) for fact in _dotted(facts)], width=session.width, separator=" ")


def _fitting(lines: Sequence[str], room: int) -> Iterator[str]:
    """Lines cut to the room; where two long ones differ late, their beginning is cut instead of what differs."""
    skip = 0
    for place, text in enumerate(lines):
        other = lines[place + 1] if place + 1 < len(lines) else ""
        if text.startswith("-"):
            same = next((n for n, (a, b) in enumerate(zip(text[1:], other[1:], strict=False)) if a != b), 0)
            skip = same - room // 2 if other.startswith("+") and same > room - 12 else 0
        elif not text.startswith("+"):
            skip = 0
        yield clip(f"{text[0]} …{text[2 + skip :]}" if skip > 0 else text, room)


def _dotted(facts: Sequence[str]) -> list[str]:
    """Facts with a dot between them, in words, so that a long line can be broken between facts."""
    return [fact if place == len(facts) - 1 else f"{fact} ·" for place, fact in enumerate(facts)]


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:8]


def _git(git: GitChange, session: Session) -> str:
    if not git.commit:
        return "not committed yet"
    from assetflow.cli.text import ago

    when = f", {ago(git.at, session.now)}" if git.at is not None else ""
    return f"git {git.commit[:7]} by {git.author}{when}"


def _data(evidence: DataEvidence, session: Session) -> Iterator[Line]:
    room = session.width - len(_INDENT) - 10
    if evidence.file:
        git = "" if evidence.git is None else f"  {_git(evidence.git, session)}"
        yield (_INDENT, head(evidence.file), dim(git))
    if evidence.schema:
        yield (_INDENT, dim("schema   "), clip(", ".join(evidence.schema), room))
    if evidence.columns:
        more = f" and {len(evidence.columns) - 8} more" if len(evidence.columns) > 8 else ""
        same = "" if evidence.schema else "   (schema the same)"
        yield (_INDENT, dim("columns  "), clip(", ".join(evidence.columns[:8]) + more + same, room))
    if evidence.rows:
        of = "" if evidence.total is None or "before" in evidence.rows else f" of {evidence.total:,}"
        words = ", ".join(f"{number:,} {name}" for name, number in evidence.rows.items())
        yield (_INDENT, dim("rows     "), words + of)
    for place, text in enumerate(evidence.sample):
        yield (_INDENT, dim("such as  " if not place else "         "), clip(text, room))
    if evidence.note:
        yield from wrapped(
            (_INDENT,), [dim(word) for word in evidence.note.split()], width=session.width, separator=" "
        )


def _foot(found: Why, session: Session) -> list[tuple[str, list[Piece]]]:
    """The labelled lines below the causes."""
    rows: list[tuple[str, list[Piece]]] = []
    if found.maybe_skipped:
        names = ", ".join(found.maybe_skipped[:4])
        text = f"if {names} {'comes' if len(found.maybe_skipped) == 1 else 'come'} out with the same content, "
        rows.append(("maybe skipped", [text + f"{found.asset} is not run (early cut-off)"]))
    if found.not_causes:
        more = [f"and {len(found.not_causes) - 5} more"] if len(found.not_causes) > 5 else []
        rows.append(("not a cause", list(_dotted([*found.not_causes[:5], *more]))))
    rows.extend(("note", [note]) for note in found.notes)
    if found.late is not None and found.late_s > 0:
        rows.append(("overdue", [bad(f"{duration(found.late_s)}:"), found.late.words]))
    if found.standing is not None:
        rows += _standing(found.standing, found, session)
    ways = _ways_out(found)
    if ways:
        rows.append(("ways out", list(_dotted(ways))))
    return rows


def _standing(standing: Standing, found: Why, session: Session) -> list[tuple[str, list[Piece]]]:
    label = "last" if found.action not in ("current", "pinned", "source", "compared") else "since"
    facts = [f"{found.asset}@{standing.version}", f"{_made(standing)} {session.clock(standing.computed_at)}"]
    if standing.verified_at > standing.computed_at + 1:
        facts.append(f"verified {session.clock(standing.verified_at)}")
    if standing.as_of is not None:
        facts.append(f"data of {session.clock(standing.as_of)}")
    rows: list[tuple[str, list[Piece]]] = [(label, list(_dotted(facts)))]
    if found.action in ("current", "pinned"):
        if standing.reason:
            by = "" if standing.run is None else f" (run #{standing.run})"
            rows.append(("made because", [f"{standing.reason}{by}"]))
        if standing.inputs:
            names = [key if number is None else f"{key}@{number}" for key, number in standing.inputs]
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            rows.append(("made of", [", ".join(names[:6]) + more]))
        if found.action == "current":
            rows.append(("checked", ["code, config, environment and inputs are those it was made of"]))
    return rows


def _made(standing: Standing) -> str:
    return {"link": "linked", "observe": "observed", "accept": "accepted"}.get(standing.kind, "computed")


def _ways_out(found: Why) -> list[str]:
    key = found.asset
    if found.action == "pinned":
        return [shell(["assetflow", "unpin", key])]
    if found.action == "undecided":
        keep = f"{shell(['assetflow', 'accept', key])} (it stays)"
        return [keep, f"{shell(['assetflow', 'materialize', *arguments_of(key), '--rebuild'])} (it is made again)"]
    if found.action not in ("run", "maybe", "link"):
        return []
    ways = [shell(["assetflow", "materialize", *arguments_of(key)])]
    if found.can_accept and "accept" in BY_NAME:
        ways.append(f"{shell(['assetflow', 'accept', key])} (if this cannot change the result)")
    if found.can_accept:
        ways.append(f"{shell(['assetflow', 'verify', key])} (run it beside the store, and compare)")
    return ways


def _labelled(rows: Sequence[tuple[str, list[Piece]]], width: int) -> list[Line]:
    lines: list[Line] = []
    for label, pieces in rows:
        words: list[Piece] = [
            Span(word, piece.style) if isinstance(piece, Span) else word
            for piece in pieces
            for word in (piece.text if isinstance(piece, Span) else piece).split(" ")
        ]
        lines += wrapped((head(f" {label:<{_LABEL}}"), "  "), words, width=width, separator=" ")
    return lines


def why_not_lines(found: WhyNot, session: Session) -> list[Line]:
    """The screen of `--not`."""
    where = "" if found.run is None else f" in run #{found.run} ({session.clock(found.at)})"
    did = "ran" if found.code == "ran" else "did NOT run" if found.code not in ("failed", "blocked_by_check") else "ran"
    lines: list[Line] = [(" ", strong(found.asset), f" {did}{where}")]
    rows: list[tuple[str, list[Piece]]] = [(found.code, [found.text])]
    rows.extend(("", [fact]) for fact in found.facts)
    if found.next:
        rows.append(("next", [found.next]))
    lines += _labelled(rows, session.width)
    if found.conditions:
        wide = max(len(one.name) for one in found.conditions)
        lines += [BLANK, (dim(" what could run it by itself"),)]
        for one in found.conditions:
            word = good(" yes  ") if one.holds else warn(" no   ")
            lines += wrapped(
                (word, f"{one.name:<{wide}}  "), list(one.text.split(" ")), width=session.width, separator=" "
            )
    return lines


def causes_table(found: Why) -> Table:
    """One row for each root cause, for programs."""
    columns = (
        Column("code", "CODE"), Column("asset", "ASSET"), Column("file", "FILE"), Column("line", "LINE", is_right=True),
        Column("path", "WAY"), Column("text", "WHAT"),
    )  # fmt: skip
    rows = tuple(
        (
            cell(cause.code), cell(cause.asset),
            cell(cause.evidence.file or None if cause.evidence is not None else None),
            cell(cause.evidence.line if isinstance(cause.evidence, CodeEvidence) else None),
            cell(" → ".join(_way(cause))), cell(cause.text),
        )
        for cause in found.causes
    )  # fmt: skip
    return Table(columns, rows)
