"""What notebooks show: tables and pictures in which no text of the user is markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

EVIL = "<script>alert(1)</script> & <b>"


@pytest.fixture
def evil(workspace: Workspace) -> Workspace:
    workspace.assets(f"""
        class EvilConfig(Config):
            text: str = "quiet"

        @asset
        def orders(config: EvilConfig) -> int:
            raise ValueError({EVIL!r})

        @asset
        def later(orders: int) -> int:
            return 1

        @asset
        def fine() -> int:
            return 1
        """)
    return workspace


class Text(HTMLParser):
    """The tags of a document, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


TABLE = {"table", "thead", "tbody", "tr", "th", "td", "p"}


def test_a_result_is_a_table_of_outcomes(evil: Workspace) -> None:
    document = evil.materialize()._repr_html_()

    found = Text(document)
    assert found.tags == TABLE
    assert EVIL in found.text
    assert "failedorders" in found.text
    assert "run #1: failed, 0 already current" in found.text


def test_a_result_with_nothing_to_do_says_so(evil: Workspace) -> None:
    evil.materialize("fine")

    found = Text(evil.materialize("fine")._repr_html_())

    assert found.tags == {"p"}
    assert found.text.startswith("nothing to do, 1 already current")


def test_a_plan_is_a_table_of_what_runs_and_why(evil: Workspace) -> None:
    evil.materialize()
    evil.edit('text: str = "quiet"', f"text: str = {EVIL!r}")

    found = Text(evil.project().plan()._repr_html_())

    assert found.tags == TABLE
    assert f"failed in run #1: {EVIL}" in found.text
    assert "runorders" in found.text
    assert "1 current" in found.text


def test_a_graph_is_a_picture_with_escaped_names() -> None:
    specs = [
        AssetSpec(
            key=AssetKey(name), kind="asset", node=name, inputs=(), group="g", owners=(), tags={}, description=EVIL,
            io="", file="", line=0,
        )
        for name in ("orders", EVIL)
    ]  # fmt: skip

    document = AssetGraph(specs)._repr_html_()

    root = ElementTree.fromstring(document)
    assert root.tag.endswith("svg")
    assert not [node for node in root.iter() if node.tag.endswith(("script", "}b"))]
    assert "orders" in document


def test_the_graph_of_a_project_has_all_its_assets(evil: Workspace) -> None:
    document = evil.project().graph._repr_html_()

    assert all(f"{key}" in document for key in ("orders", "later", "fine"))


def test_answers_of_sql_and_previews_are_tables_of_text(workspace: Workspace) -> None:
    workspace.assets(f"""
        @asset
        def words() -> Rows:
            return [{{"<b>": {EVIL!r}, "n": n}} for n in range(60)]
        """)
    workspace.materialize()
    project = workspace.project()

    answer, preview = project.sql("from words"), project.preview("words", rows=3)
    for value, shown in ((answer, "50 of 60 rows"), (preview, "3 of 60 rows")):
        html = value._repr_html_()  # what a notebook calls
        page = Text(html)
        assert page.tags <= TABLE
        assert "<b>" in page.text
        assert EVIL in page.text
        assert page.text.endswith(shown)
        assert html.count("<tr>") == 2 + int(shown.split()[0])


def test_an_answer_that_was_cut_says_so_and_its_repr_has_no_rows(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef words() -> Rows:\n    return [{'word': 'hidden', 'n': n} for n in range(3)]\n")
    workspace.materialize()

    answer = workspace.project().sql("from words", limit=2)

    assert answer._repr_html_().endswith("<p>2 of more than 2 rows</p>")
    assert repr(answer) == "<QueryResult more than 2 rows of `word`, `n`>"
