"""What is wrong with hooks is said when the project is loaded, with everything else that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.cli.main import main
from assetflow.errors import AssetflowError, ProjectLoadError
from assetflow.load.definitions import load_project
from assetflow.load.live import LiveHook
from assetflow.load.settings import read_settings

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

ONE = """
@asset(tags=["gold"])
def one() -> int:
    return 1

"""


def hooks(workspace: Workspace, text: str) -> tuple[LiveHook, ...]:
    from textwrap import dedent

    workspace.assets(ONE + dedent(text))
    return load_project(read_settings(workspace.root)).hooks


def problems(workspace: Workspace, text: str) -> list[AssetflowError]:
    with pytest.raises(ProjectLoadError) as caught:
        hooks(workspace, text)
    return list(caught.value.problems)


def test_names_and_patterns_mean_events(workspace: Workspace) -> None:
    (found,) = hooks(
        workspace,
        """
        @on("run.failed", "check.*")
        def listen(event: Event) -> None:
            pass
        """,
    )

    assert found.events == {"run.failed", "check.failed", "check.warned"}
    assert (found.name, found.file, found.assets) == ("listen", "assets.py", None)


def test_a_hook_is_found_once_though_two_modules_have_it(workspace: Workspace) -> None:
    workspace.assets(ONE + "from other import listen\n")
    workspace.file("other.py", "from assetflow import on\n\n\n@on('run.failed')\ndef listen(event):\n    pass\n")
    workspace.file("assetflow.toml", 'modules = ["assets", "other"]\n')

    (found,) = load_project(read_settings(workspace.root)).hooks

    assert [binding.kind for binding in found.bindings] == ["event"]


def test_misspelt_names_are_told_with_the_nearest_and_with_the_other_problems(workspace: Workspace) -> None:
    unknown, misspelt = problems(
        workspace,
        """
        @asset
        def two(nobody: int) -> int:
            return nobody

        @on("asset.fail")
        def listen(event: Event) -> None:
            pass
        """,
    )

    assert "nobody" in unknown.what
    assert misspelt.what == "hook `listen`: there is no event `asset.fail`"
    assert misspelt.facts == ("did you mean `asset.failed`?",)
    assert misspelt.where is not None
    assert misspelt.where.file == "assets.py"


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ('@on("run.failed", select="tag:gold")\ndef h(event): pass', "`run.failed` is of a run"),
        ('@on("asset.*", select="tag:")\ndef h(event): pass', "select= does not fit"),
        ('@on("asset.*", select="two")\ndef h(event): pass', "select= does not fit"),
        ('@on("asset.*", select="is:stale")\ndef h(event): pass', "`is:` changes from run to run"),
        ('@on("asset.*")\ndef h(event: Event, one: int): pass', "takes `one`"),
        ('@on("asset.*")\ndef h(first, second): pass', "takes `second`"),
        ('@on("asset.*")\nasync def h(event): pass', "`async def`"),
        ('@on("asset.*")\ndef h(*events): pass', "takes `*events`"),
        ('@on("asset.*")\n@asset\ndef h() -> int: return 1', "is an asset or a check as well"),
        ("@on()\ndef h(event): pass", "on() takes the names of events"),
        ("@on\ndef h(event): pass", "on() takes the names of events"),
    ],
)
def test_what_does_not_fit_is_told(workspace: Workspace, hook: str, words: str) -> None:
    assert any(words in str(problem) for problem in problems(workspace, hook + "\n"))


def test_a_selection_is_the_assets_that_it_means(workspace: Workspace) -> None:
    (found,) = hooks(workspace, '@on("*", select="tag:gold")\ndef listen(event):\n    pass\n')

    assert found.assets == {"one"}


def test_resources_of_hooks_may_have_settings(workspace: Workspace) -> None:
    workspace.assets(
        ONE
        + "class Channel(Resource):\n    name: str = 'x'\n\n\n"
        + "@on('*')\ndef listen(event: Event, channel: Channel = None, more: int = 3):\n    pass\n",
        settings='[resources.Channel]\nname = "team"\n',
    )

    loaded = load_project(read_settings(workspace.root))

    assert [binding.kind for binding in loaded.hooks[0].bindings] == ["event", "resource"]
    assert [dict(table) for table in loaded.resources.values()] == [{"name": "team"}]


def test_the_static_check_tells_of_names(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.assets(ONE + '@on("run.fail")\ndef listen(event):\n    pass\n')

    assert main(["-C", str(workspace.root), "check"]) == 3
    assert "there is no event `run.fail`" in capsys.readouterr().err
