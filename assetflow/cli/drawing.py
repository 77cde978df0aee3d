"""`lineage`: which asset takes which, as a tree on the screen or as a picture for elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, add_selection, selection_text
from assetflow.cli.text import MARKS, STYLES, Line, Span, ago, dim, strong
from assetflow.errors import NotWritable, UsageError

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.model.keys import AssetKey
    from assetflow.plan.labels import NodeLabel
    from assetflow.project import Project

FORMATS = ("tree", "mermaid", "dot", "json", "svg", "html")
_ENDINGS = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".json": "json", ".svg": "svg",
            ".html": "html", ".htm": "html", ".txt": "tree"}  # fmt: skip


def lineage(session: Session, options: Namespace) -> Answer:
    """The lineage of the selected assets."""
    project = session.project()
    keys = _selected(project, options)
    labels = _labels(session, project)
    form = options.format or _form_of(options.output)

    def data() -> object:
        from assetflow.plan.drawing import to_json

        return {"project": project.name, "env": project.env, **to_json(project.graph, keys, labels)}

    if form == "tree" and options.output is None:
        from assetflow.plan.drawing import tree

        return Answer(data, [_tree_line(text) for text in tree(project.graph, keys, labels, down=options.down)])
    text = _drawn(form, session, keys, labels, down=options.down)
    if options.output is None:
        return Answer(data, text=text)
    path = Path(options.output)
    write_file(path, text)
    return Answer(data, [(f" written {path} ({form}, {len(keys)} assets)",)])


def _selected(project: Project, options: Namespace) -> list[AssetKey]:
    """The selection; with a direction or a depth, also what lies in that direction, so far."""
    keys = project.select(selection_text(options))
    if not (options.up or options.down or options.depth is not None) or not options.selection:
        return list(keys)
    found = set(keys)
    if options.up or not options.down:
        found |= project.graph.walk(keys, up=True, depth=options.depth)
    if options.down or not options.up:
        found |= project.graph.walk(keys, up=False, depth=options.depth)
    return [key for key in project.graph.order if key in found]


def _labels(session: Session, project: Project) -> Mapping[AssetKey, NodeLabel]:
    from assetflow.cli.render_status import parts_words
    from assetflow.plan.labels import NodeLabel

    found: dict[AssetKey, NodeLabel] = {}
    for row in project.status():
        detail: list[str] = []
        if row.parts:
            detail.append(parts_words(row))
        elif row.head is not None and not row.spec.is_source:
            detail.append(f"v{row.head.version.number}")
        if row.head is not None:
            detail.append(ago(row.head.trace.finished_at, session.now))
        found[row.spec.key] = NodeLabel(row.state, " · ".join(detail))
    return found


def _form_of(output: str | None) -> str:
    if output is None:
        return "tree"
    ending = Path(output).suffix.lower()
    if ending not in _ENDINGS:
        raise UsageError(f"`{output}` does not say which format it is", fix=f"add --format {'|'.join(FORMATS)}")
    return _ENDINGS[ending]


def _drawn(
    form: str, session: Session, keys: list[AssetKey], labels: Mapping[AssetKey, NodeLabel], *, down: bool
) -> str:
    from assetflow.plan import drawing

    project = session.project()
    graph, title = project.graph, f"{project.name} · env {project.env}"
    if form == "mermaid":
        text = drawing.mermaid(graph, keys, labels)
    elif form == "dot":
        text = drawing.dot(graph, keys, labels)
    elif form == "svg":
        text = drawing.svg(graph, keys, labels, title=title)
    elif form == "html":
        text = drawing.html(graph, keys, labels, title=title)
    elif form == "json":
        import json

        text = json.dumps(drawing.to_json(graph, keys, labels), indent=2)
    else:
        text = "\n".join(drawing.tree(graph, keys, labels, down=down))
    return text if text.endswith("\n") else text + "\n"


_BY_MARK = {mark: STYLES.get(state, "") for state, mark in MARKS.items()}


def _tree_line(text: str) -> Line:
    """A line of the tree with the key and the state coloured."""
    for place, sign in enumerate(text):
        if sign in _BY_MARK and text[max(0, place - 2) : place] == "  ":
            before, key = _branch(text[: place - 2])
            return (" ", dim(before), strong(key), "  ", Span(text[place:], _BY_MARK[sign]))
    return (" ", text)


def _branch(text: str) -> tuple[str, str]:
    key = text.lstrip("│├└─ ")
    return text[: len(text) - len(key)], key


def write_file(path: Path, text: str) -> None:
    """Write a file that the user named.

    Raises:
        NotWritable: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NotWritable(f"{path} cannot be written: {error.strerror}") from error


def _options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--up", action="store_true", help="also what the selected assets are made of")
    parser.add_argument("--down", action="store_true", help="also what is made of them; the tree grows downstream")
    parser.add_argument("-d", "--depth", type=int, metavar="N", help="at most N steps away")
    parser.add_argument("-o", "--output", metavar="FILE", help="write a file; its ending chooses the format")


COMMANDS = {
    "lineage": Command(
        lineage,
        _options,
        (
            ("assetflow lineage", "all of it, as a tree"),
            ("assetflow lineage daily_revenue --up -d 2", "two steps upstream"),
            ("assetflow lineage --format mermaid", "to paste into Markdown"),
            ("assetflow lineage -o lineage.html", "a page to look at"),
        ),
        FORMATS,
    )
}
