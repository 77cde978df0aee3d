"""Settings of assets and of what they use: where values come from, what a change makes stale, who closes what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.errors import BadConfig, ProjectLoadError
from assetflow.run.outcome import SilentObserver

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

RATES = """
class RatesConfig(Config):
    base: str = "GBP"
    days: int = 7

@asset
def rates(config: RatesConfig) -> dict:
    ran("rates")
    return {"base": config.base, "days": config.days}

@asset
def prices(rates: dict) -> str:
    ran("prices")
    return rates["base"]

@asset
def apart() -> int:
    ran("apart")
    return 1
"""


def test_a_config_has_the_defaults_of_its_class(workspace: Workspace) -> None:
    workspace.assets(RATES)

    workspace.materialize()

    assert workspace.project().read("rates") == {"base": "GBP", "days": 7}


def test_the_project_file_overrides_the_defaults_and_a_change_of_it_makes_the_asset_stale(workspace: Workspace) -> None:
    workspace.assets(RATES)
    workspace.materialize()
    workspace.ran()
    workspace.file("assetflow.toml", 'modules = ["assets"]\n[config.rates]\ndays = 8\n')

    project = workspace.project()

    assert [step.asset for step in project.plan().run] == ["rates"]
    assert [reason.text for reason in project.plan()["rates"].reasons] == ["config days: 7 → 8"]
    project.materialize()
    assert workspace.ran() == ["rates", "prices"]
    assert workspace.project().read("rates") == {"base": "GBP", "days": 8}


def test_an_override_makes_exactly_its_asset_stale(workspace: Workspace) -> None:
    workspace.assets(RATES, settings="[config.rates]\ndays = 8\n")
    workspace.materialize()
    workspace.ran()

    result = workspace.materialize(config={"rates": {"days": 9}})

    assert workspace.ran() == ["rates", "prices"]
    assert {one.asset: one.state for one in result} == {"rates": "materialized", "prices": "unchanged"}
    assert [reason.code for reason in result["rates"].reasons] == ["config_changed"]
    assert workspace.project().read("rates") == {"base": "GBP", "days": 9}


def test_an_override_counts_for_one_run_and_the_project_knows(workspace: Workspace) -> None:
    workspace.assets(RATES)
    project = workspace.project()
    project.materialize()
    project.materialize(config={"rates": {"days": 9}})
    workspace.ran()

    assert project.status()["rates"].state == "reusable"
    result = project.materialize()

    assert result["rates"].state == "linked"
    assert workspace.ran() == []
    assert project.read("rates") == {"base": "GBP", "days": 7}


def test_an_override_that_is_not_a_field_is_an_error_before_anything_runs(workspace: Workspace) -> None:
    workspace.assets(RATES)
    project = workspace.project()

    for config, text in (
        ({"rates": {"day": 1}}, "did you mean `days`"),
        ({"rates": {"days": "many"}}, "config field `days`"),
        ({"rate": {"days": 1}}, "did you mean `rates`"),
        ({"apart": {"days": 1}}, "takes no config"),
    ):
        with pytest.raises(ProjectLoadError, match=text):
            project.materialize(config=config)

    assert workspace.ran() == []
    assert project.runs() == ()


CLIENT = """
class HttpClient(Resource):
    base_url: str = "https://default.example"
    token: Secret = Secret("none")

    def set_up(self) -> None:
        ran("set up")

    def tear_down(self) -> None:
        ran("tear down")

@asset
def one(client: HttpClient) -> str:
    ran("one")
    return client.base_url

@asset
def two(client: HttpClient, one: str) -> str:
    ran("two")
    return repr(client) + str(client) + str(client.token)

@asset
def apart() -> int:
    ran("apart")
    return 3
"""


def test_a_resource_is_set_up_once_for_a_run_and_torn_down_at_its_end(workspace: Workspace) -> None:
    workspace.assets(CLIENT)

    workspace.materialize("one or two", executor="threads").raise_for_status()

    assert workspace.ran() == ["set up", "one", "two", "tear down"]


def test_a_resource_is_not_set_up_when_no_asset_that_runs_takes_it(workspace: Workspace) -> None:
    workspace.assets(CLIENT)

    workspace.materialize("apart")

    assert workspace.ran() == ["apart"]


def test_a_resource_is_torn_down_after_failures_too(workspace: Workspace) -> None:
    workspace.assets(CLIENT)
    workspace.edit('    ran("one")\n', '    ran("one")\n    raise ValueError("no")\n')

    result = workspace.materialize("one or two")

    assert result["one"].state == "failed"
    assert workspace.ran() == ["set up", "one", "tear down"]


def test_an_exception_of_set_up_fails_the_assets_that_take_the_resource(workspace: Workspace) -> None:
    workspace.assets(CLIENT)
    workspace.edit('        ran("set up")', '        raise ConnectionError("refused")')

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"one": "failed", "two": "blocked", "apart": "materialized"}
    assert result["one"].error is not None
    assert result["one"].error.message == "refused"
    assert workspace.ran() == ["apart"]


def test_an_exception_of_tear_down_is_told_and_the_other_resources_are_torn_down(workspace: Workspace) -> None:
    workspace.assets("""
        class First(Resource):
            def tear_down(self) -> None:
                ran("first down")

        class Second(Resource):
            def tear_down(self) -> None:
                raise ValueError("stuck")

        @asset
        def one(first: First, second: Second) -> int:
            return 1
        """)
    warnings: list[str] = []

    result = workspace.materialize(observer=Warned(warnings))

    assert result.ok
    assert warnings == ["tear_down raised ValueError: stuck"]
    assert workspace.ran() == ["first down"]


def test_resources_are_torn_down_though_their_log_cannot_be_written(workspace: Workspace) -> None:
    workspace.assets("""
        from pathlib import Path

        class Client(Resource):
            def tear_down(self) -> None:
                ran("torn down")

        @asset
        def one(client: Client) -> int:
            (Path(__file__).parent / ".assetflow" / "runs" / "1" / "run.log").mkdir()
            return 1
        """)

    assert workspace.materialize().ok
    assert workspace.ran() == ["torn down"]


class Warned(SilentObserver):
    """An observer that keeps what it is warned of."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings

    def warn(self, text: str) -> None:
        self._warnings.append(text)


def test_what_set_up_and_tear_down_print_is_not_on_standard_output(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.assets(CLIENT)
    workspace.edit('ran("set up")', 'print("setting up")')
    workspace.edit('ran("tear down")', 'print("tearing down")')

    workspace.materialize("one").raise_for_status()

    assert capfd.readouterr() == ("", "")
    assert workspace.project().logs(key="one")[0].text == "setting up\n"


def test_resources_are_torn_down_in_the_opposite_order_of_their_set_up(workspace: Workspace) -> None:
    workspace.assets("""
        class Database(Resource):
            def tear_down(self) -> None:
                ran("database down")

        class Session(Resource):
            def tear_down(self) -> None:
                ran("session down")

        @asset
        def one(database: Database, session: Session) -> int:
            return 1
        """)

    workspace.materialize()

    assert workspace.ran() == ["session down", "database down"]


def test_resource_settings_come_from_the_environment_then_the_table_then_the_class(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.assets(CLIENT)
    workspace.materialize("one")
    assert workspace.project().read("one") == "https://default.example"

    workspace.assets(CLIENT, settings='[resources.HttpClient]\nbase_url = "https://table.example"\n')
    workspace.materialize("one", force=True)
    assert workspace.project().read("one") == "https://table.example"

    monkeypatch.setenv("HTTP_CLIENT_BASE_URL", "https://environment.example")
    workspace.materialize("one", force=True)
    assert workspace.project().read("one") == "https://environment.example"


def test_a_setting_of_a_resource_makes_nothing_stale(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.assets(CLIENT)
    workspace.materialize()
    monkeypatch.setenv("HTTP_CLIENT_BASE_URL", "https://environment.example")

    assert workspace.materialize().run_id is None


def test_a_secret_shows_itself_only_when_it_is_revealed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_CLIENT_TOKEN", "hunter2")
    workspace.assets(CLIENT)
    workspace.edit("return client.base_url", "return client.token.reveal()")

    workspace.materialize()

    assert workspace.project().read("one") == "hunter2"
    assert "hunter2" not in str(workspace.project().read("two"))


def test_a_wrong_resource_setting_fails_the_asset_and_names_the_variable_but_not_its_value(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOL_SIZE", "hunter2")
    workspace.assets("""
        class Pool(Resource):
            size: int

        @asset
        def one(pool: Pool) -> int:
            return pool.size
        """)

    result = workspace.materialize()

    error = result["one"].error
    assert error is not None
    assert error.code == BadConfig.code
    assert error.message.startswith("resource `Pool`: `size`:")
    assert error.facts == ("it came from $POOL_SIZE",)
    assert "hunter2" not in str(error)
