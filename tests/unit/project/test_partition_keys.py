"""Dynamic partitions: their keys are added while the project is used, by the API and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.cli.main import main
from assetflow.errors import UsageError
from assetflow.run.outcome import RunResult

SHOP = """
import pandas as pd
from assetflow import Daily, Dynamic, Multi, Partition, asset

CUSTOMERS = Dynamic("customers")

@asset(partitions=CUSTOMERS)
def orders(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"who": [partition.key]})

@asset(partitions=CUSTOMERS, batch=True, partition_column="who")
def bills(orders: pd.DataFrame, partition: Partition) -> pd.DataFrame:
    assert list(partition.keys) == list(orders["who"])
    return orders.assign(net=1)

@asset(partitions=Multi({"who": CUSTOMERS, "day": Daily("2026-01-01", end="2026-01-02")}))
def daily(orders: pd.DataFrame, partition: Partition) -> pd.DataFrame:
    return orders.assign(day=partition.axes["day"])
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def made(done: RunResult) -> set[str]:
    done.raise_for_status()
    return {str(key) for key, outcome in done.outcomes.items() if outcome.state == "materialized"}


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_keys_that_are_added_are_partitions_from_then_on(shop: Path, executor: str) -> None:
    project = Project.load(shop)
    assert project.partition_keys("customers") == ()
    assert project.add_partitions("customers", ["bolt", "acme", "bolt"]) == ("bolt", "acme")
    assert project.add_partitions("orders", ["acme", "coil"]) == ("coil",)
    done = made(project.materialize("orders or bills", executor=executor, workers=2))

    assert done == {f"{name}[{key}]" for name in ("orders", "bills") for key in ("bolt", "acme", "coil")}
    assert Project.load(shop).read("bills")["who"].tolist() == ["bolt", "acme", "coil"]
    again = Project.load(shop)
    assert again.plan("orders or bills").is_empty
    again.add_partitions("customers", "dyne")
    assert made(again.materialize("bills")) == {"orders[dyne]", "bills[dyne]"}


def test_an_axis_may_be_dynamic(shop: Path) -> None:
    project = Project.load(shop)
    project.add_partitions("customers", ["acme", "bolt"])
    project.materialize("daily").raise_for_status()
    project.add_partitions("customers", ["coil"])

    assert made(Project.load(shop).materialize("daily")) == {
        "orders[coil]", "daily[coil|2026-01-01]", "daily[coil|2026-01-02]",
    }  # fmt: skip
    assert Project.load(shop).read("daily[bolt|2026-01-02]")["day"].tolist() == ["2026-01-02"]


def test_a_key_that_is_removed_is_none_any_more_and_comes_back_as_it_was(shop: Path) -> None:
    project = Project.load(shop)
    project.add_partitions("customers", ["acme", "bolt"])
    project.materialize("orders").raise_for_status()
    assert project.remove_partitions("customers", ["acme"]) == ("acme",)

    later = Project.load(shop)
    assert later.partition_keys("orders") == ("bolt",)
    assert dict(later.status()["orders"].parts) == {"current": 1}
    assert later.read("orders")["who"].tolist() == ["bolt"]
    assert later.add_partitions("customers", ["acme"]) == ("acme",)
    assert Project.load(shop).plan("orders").is_empty


def test_keys_are_in_the_journal_too(shop: Path) -> None:
    project = Project.load(shop)
    project.add_partitions("customers", ["acme", "bolt"])
    project.materialize("orders").raise_for_status()
    project.remove_partitions("customers", ["bolt"])
    for path in (shop / ".assetflow").glob("catalog.db*"):
        path.unlink()
    assert main(["-C", str(shop), "doctor", "--rebuild-catalog", "-y"]) == 0

    assert Project.load(shop).partition_keys("customers") == ("acme",)


@pytest.mark.parametrize(("name", "key", "message"), [
    ("custmers", "a", "`custmers` names no dynamic partitions"), ("customers", "a|b", "stands between or for keys"),
    ("customers", "", "is empty"), ("customers", "latest", "means the newest"),
])  # fmt: skip
def test_what_cannot_be_a_key_is_said_and_nothing_is_added(shop: Path, name: str, key: str, message: str) -> None:
    project = Project.load(shop)
    with pytest.raises(UsageError, match=message.replace("|", r"\|")):
        project.add_partitions(name, ["fine", key])
    assert project.partition_keys("customers") == ()
    with pytest.raises(UsageError, match="is no key of customers"):
        project.remove_partitions("customers", ["nobody"])


def test_the_command_line(shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    assert main(["partition", "add", "orders", "acme", "bolt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["added"] == ["acme", "bolt"]
    assert main(["partition", "rm", "customers", "acme"]) == 0
    assert main(["partition", "ls", "customers", "--format", "tsv"]) == 0
    assert capsys.readouterr().out.split()[-1] == "bolt"
    assert main(["partition", "add", "customers"]) == 2


def test_an_asset_takes_its_default_while_there_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(
        "from assetflow import Dynamic, Partition, asset\n\n\n"
        "@asset(partitions=Dynamic('customers'))\n"
        "def bought(partition: Partition) -> list[dict]:\n    return [{'who': partition.key}]\n\n\n"
        "@asset\n"
        "def counted(bought: list[dict] | None = None) -> list[dict]:\n    return [{'n': len(bought or [])}]\n"
    )
    project = Project.load(tmp_path)

    assert project.materialize().ok
    assert project.read("counted", as_=list) == [{"n": 0}]
    project.add_partitions("customers", ["acme"])
    assert Project.load(tmp_path).materialize().ok
    assert project.read("counted", as_=list) == [{"n": 1}]
