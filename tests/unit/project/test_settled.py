"""Partitions that are told to be current in bulk are those that the planner, asked about each, finds current."""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.catalog.catalog import Catalog
from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey, slot
from assetflow.model.records import Version
from assetflow.plan import slots
from assetflow.plan.planner import Plan, Step
from assetflow.run import crowding, holding, settled

SHOP = """
from pathlib import Path
from typing import Annotated

import pandas as pd

from assetflow import Daily, In, Monthly, Partition, asset

ELSEWHERE = Path({elsewhere!r})
DAYS = Daily("2026-01-26", end="2026-02-04")
FACTOR = {factor}


def amount(name: str) -> int:
    file = ELSEWHERE / name
    return int(file.read_text()) if file.exists() else 0


@asset
def rate() -> pd.DataFrame:
    return pd.DataFrame({{"rate": [amount("rate")]}})


@asset(partitions=DAYS)
def orders(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"day": [partition.key], "amount": [amount(partition.key)]}})


@asset(partitions=DAYS)
def seen(partition: Partition) -> pd.DataFrame:
    try:
        text = (Path(__file__).parent / f"{{partition.key}}.txt").read_text()
    except FileNotFoundError:
        text = "0"
    return pd.DataFrame({{"amount": [int(text)]}})


@asset(partitions=DAYS)
def later(seen: pd.DataFrame) -> pd.DataFrame:
    return seen + 1


@asset(partitions=DAYS)
def priced(orders: pd.DataFrame, rate: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"amount": orders["amount"] * rate["rate"].iloc[0] + seen["amount"].sum()}})


@asset(partitions=DAYS)
def week(orders: Annotated[pd.DataFrame, In(window=-2)]) -> pd.DataFrame:
    return pd.DataFrame({{"amount": [orders["amount"].sum() * FACTOR]}})


@asset(partitions=DAYS)
def named(week: Annotated[pd.DataFrame, In(columns=["amount"])]) -> pd.DataFrame:
    return week


@asset(partitions=DAYS, on_code_change="forward")
def kept(orders: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"amount": [orders["amount"].sum() * FACTOR]}})


@asset(partitions=DAYS, on_code_change="ask")
def asked(kept: pd.DataFrame) -> pd.DataFrame:
    return kept * FACTOR


@asset(partitions=Monthly("2026-01", end="2026-02"))
def by_month(week: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"amount": [week["amount"].sum()]}})


@asset
def total(by_month: pd.DataFrame) -> pd.DataFrame:
    return by_month


@asset(partitions=DAYS)
def share(total: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"share": [len(total) + len(orders)]}})
"""
DAYS = [*(f"2026-01-{day}" for day in range(26, 32)), *(f"2026-02-0{day}" for day in range(1, 5))]
IN_DAYS = ["orders", "seen", "later", "priced", "week", "named", "kept", "asked", "share"]


class Shop:
    """A project whose content is in files beside it, and what may happen to it."""

    def __init__(self, root: Path) -> None:
        self.root, self.elsewhere = root / "shop", root / "elsewhere"
        self.root.mkdir()
        self.elsewhere.mkdir()
        (self.root / "assetflow.toml").write_text('modules = ["shop"]\n')
        self.write(1)

    def write(self, factor: object) -> None:
        (self.root / "shop.py").write_text(SHOP.format(elsewhere=str(self.elsewhere), factor=factor))

    def project(self) -> Project:
        return Project.load(self.root)


def change(shop: Shop, dice: random.Random) -> str:
    """Something that happens; what it was."""
    day, project = dice.choice(DAYS), shop.project()
    kind = dice.choice(["run", "run", "rerun", "rate", "code", "invalidate rate", "gone", "seen", "cache"])
    if kind == "run":
        project.materialize(
            dice.choice([None, "named", "by_month", "priced", "asked"]), partitions=dice.choice([day, "2026-01"])
        )
    elif kind == "rerun":
        (shop.elsewhere / day).write_text(str(dice.randrange(3)))
        project.materialize("orders", partitions=day, force=True)
    elif kind == "rate":
        (shop.elsewhere / "rate").write_text(str(dice.randrange(2)))
        project.materialize("rate", force=True)
    elif kind == "code":
        shop.write(dice.randrange(3))
    elif kind == "invalidate rate":
        project.invalidate("rate", reason="no good")
    elif kind == "gone":
        shutil.rmtree(project.storage.root / dice.choice(IN_DAYS) / day, ignore_errors=True)
    elif kind == "seen":
        (shop.root / f"{day}.txt").write_text(str(dice.randrange(3)))
    else:
        (shop.root / ".assetflow" / "cache" / "partitions-dev.json").unlink(missing_ok=True)
    return f"{kind} {day}"


def names_of(step: Step) -> list[str]:
    """The asset partitions that a step is about."""
    if step.crowd is None:
        return [step.asset]
    assert step.spec.partitions is not None
    return [slot(step.crowd.asset, one) for one in step.spec.partitions.keys(step.crowd.members)]


OF_INPUTS = {"input_changed", "input_added", "input_removed"}


def in_common(told: tuple[str, list[str]]) -> tuple[str, list[str]]:
    """What one step for many says of one of them: of inputs only where nothing else is the reason."""
    action, codes = told
    return action, [code for code in codes if code not in OF_INPUTS] or codes


def told(plan: Plan) -> dict[str, tuple[str, list[str]]]:
    """What is planned for each partition, with the codes of the reasons."""
    found: dict[str, tuple[str, list[str]]] = {}
    for step in plan:
        for name in names_of(step):
            assert name not in found
            found[name] = (str(step.action), sorted({reason.code for reason in step.reasons}))
    return found


def check(project: Project, history: list[str]) -> None:
    """Hold the plan and the status against those that look at each partition."""
    whole = told(project._planned(None, None, in_bulk=False))
    plan = project.plan()
    few = told(plan)
    crowded = {name for step in plan if step.crowd is not None for name in names_of(step)}
    left = {name: found for name, found in whole.items() if name not in few}
    assert {name: in_common(whole[name]) if name in crowded else whole[name] for name in few} == few, history
    assert all(action == "current" for action, _ in left.values()), (history, left)
    assert len(left) == sum(plan.settled.values()), history
    counted: dict[str, dict[str, int]] = {}
    for name, (action, _) in whole.items():
        if "[" in name:
            states = counted.setdefault(name.partition("[")[0], {})
            kind = "current" if action == "current" else "other"
            states[kind] = states.get(kind, 0) + 1
    for row in project.status():
        if row.parts:
            parts = {"current": row.parts.get("current", 0)}
            parts["other"] = sum(row.parts.values()) - parts["current"]
            assert {kind: count for kind, count in parts.items() if count} == counted[row.spec.key], (
                history,
                row.spec.key,
            )
            assert row.newest is None or sums(project)[row.spec.key] == sums_of(row.newest.version), history


def sums_of(version: Version) -> tuple[int | None, int | None]:
    return version.rows, version.size_bytes


def sums(project: Project) -> dict[str, tuple[int | None, int]]:
    """Rows and bytes of the current partitions of each asset, each looked at by itself."""
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        versions = [(key, head.version) for (key, part), head in catalog.heads("dev").items() if part]
    found: dict[str, tuple[int | None, int]] = {}
    for key, version in versions:
        rows, size = found.get(key, (0, 0))
        rows = None if rows is None or version.rows is None else rows + version.rows
        found[key] = rows, size + (version.size_bytes or 0)
    return found


@pytest.mark.parametrize(
    ("seed", "most_alone", "in_columns", "few_moved"),
    [
        (1, 1000, True, 100),
        (2, 1000, False, 100),
        (3, 1000, True, 0),
        (1, 2, False, 100),
        (2, 2, True, 0),
        (311, 2, True, 100),
    ],
)
def test_what_is_told_in_bulk_is_what_the_planner_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, most_alone: int, in_columns: bool, few_moved: int
) -> None:
    monkeypatch.setattr(crowding, "MOST_ALONE", most_alone)
    monkeypatch.setattr(settled, "FEW_MOVED", few_moved)
    monkeypatch.setattr(slots, "FEW", min(slots.FEW, most_alone // 2))
    if in_columns:
        monkeypatch.setattr(holding, "MOST_IN_ROWS", 1)
        monkeypatch.setattr(holding, "MOST_LOOKED_FOR", 0)
    shop, dice = Shop(tmp_path), random.Random(seed)
    history = ["look", "run all"]
    shop.project().plan()
    shop.project().materialize().raise_for_status()
    check(shop.project(), history)
    for _ in range(12):
        history.append(change(shop, dice))
        check(shop.project(), history)


def test_only_what_is_not_current_has_a_step(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.project().materialize().raise_for_status()
    (shop.elsewhere / DAYS[4]).write_text("7")

    before = shop.project().plan()
    assert before.is_empty
    assert before.settled[AssetKey("priced")] == before.settled[AssetKey("named")] == len(DAYS)
    shop.project().materialize("orders", partitions=DAYS[4], force=True)
    plan = shop.project().plan()

    assert {step.asset for step in plan.run if step.asset.startswith("week[")} == {f"week[{day}]" for day in DAYS[4:7]}
    assert not [step for step in plan if step.asset == f"named[{DAYS[0]}]"]
    result = shop.project().materialize()
    assert result.ok
    assert shop.project().plan().is_empty


def test_a_partition_whose_folder_is_gone_is_made_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.project().materialize().raise_for_status()
    assert shop.project().plan().is_empty
    shutil.rmtree(shop.project().storage.root / "named" / DAYS[3])

    plan = shop.project().plan()

    assert [(step.asset, step.reasons[0].code) for step in plan.run] == [(f"named[{DAYS[3]}]", "data_missing")]


def test_partitions_are_named_by_what_they_are(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.project().materialize("named", partitions="2026-01").raise_for_status()
    project = shop.project()
    (shop.elsewhere / DAYS[1]).write_text("7")
    project.materialize("orders", partitions=DAYS[1], force=True)

    def named(selection: str, partitions: str) -> list[str]:
        plan = project.plan(selection, partitions=partitions)
        return sorted(step.partition for step in (*plan.run, *plan.maybe) if step.asset in plan.targets)

    assert named("named", "is:missing") == DAYS[6:]
    assert named("orders", "is:stale") == []
    assert named("week", "is:stale") == DAYS[1:4]
    assert project.materialize("week", partitions="is:stale").ok
    assert named("week", "is:stale") == []
    assert project.plan_backfill("week", partitions="is:stale").total == 0
    with pytest.raises(UsageError, match="names no partitions"):
        project.plan("named", partitions="is:late")
    plan = project.plan_backfill("named", partitions="is:missing")
    assert (plan.total, plan.planned) == (4, 4)
    assert project.backfill(plan).failed == ()
    assert named("named", "is:missing") == []
    assert project.plan_backfill("named", partitions="is:missing").total == 0


PAIR = """
from pathlib import Path

import pandas as pd

from assetflow import Daily, Partition, asset

DAYS = Daily("2026-01-01", end="2026-01-04")


@asset(partitions=DAYS)
def up(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"amount": [{amount}]}})


@asset(partitions=DAYS)
def down(up: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"amount": [up["amount"].sum()]}})
"""


def pair(root: Path, amount: str) -> Project:
    """A project of two assets, one of which reads the other."""
    (root / "assetflow.toml").write_text('modules = ["pair"]\n')
    (root / "pair.py").write_text(PAIR.format(amount=amount))
    return Project.load(root)


def test_what_was_seen_to_be_read_reaches_what_reads_it(tmp_path: Path) -> None:
    for day in range(1, 5):
        (tmp_path / f"2026-01-0{day}.txt").write_text(str(day))
    project = pair(tmp_path, 'int((Path(__file__).parent / f"{partition.key}.txt").read_text())')
    project.plan()  # a look before the first run
    project.materialize().raise_for_status()
    assert project.plan().is_empty
    (tmp_path / "2026-01-02.txt").write_text("50")

    plan = project.plan()

    assert [step.asset for step in plan.run] == ["up[2026-01-02]"]
    assert [step.asset for step in plan.maybe] == ["down[2026-01-02]"]
    project.materialize().raise_for_status()
    assert project.plan().is_empty
    assert project.read("down[2026-01-02]")["amount"].tolist() == [50]


def test_an_edit_after_one_that_was_taken_back_reaches_what_reads_it(tmp_path: Path) -> None:
    pair(tmp_path, "2 * 1").materialize().raise_for_status()
    pair(tmp_path, "2 * 1").plan()
    pair(tmp_path, "1 * 2").materialize().raise_for_status()
    pair(tmp_path, "2 * 1").plan()
    project = pair(tmp_path, "5 * 1")
    project.plan()
    project.status()
    project.materialize().raise_for_status()

    assert project.plan().is_empty
    assert project.read("down[2026-01-02]")["amount"].tolist() == [5]


def test_a_key_that_means_another_time_is_another_partition(tmp_path: Path) -> None:
    pair(tmp_path, "1").materialize().raise_for_status()
    file = tmp_path / "pair.py"
    file.write_text(file.read_text().replace('end="2026-01-04")', 'end="2026-01-03")'))
    assert Project.load(tmp_path).plan().is_empty

    file.write_text(file.read_text().replace('end="2026-01-03")', 'end="2026-01-03", tz="America/New_York")'))

    assert len(Project.load(tmp_path).plan().run) == 3


def test_a_catalog_that_was_put_back_is_looked_at_anew(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.project().materialize().raise_for_status()
    state, saved = shop.root / ".assetflow", tmp_path / "saved"
    shutil.copytree(state, saved)
    (shop.elsewhere / DAYS[1]).write_text("7")
    shop.project().materialize("orders", partitions=DAYS[1], force=True)
    shop.project().materialize().raise_for_status()
    assert shop.project().plan().is_empty
    shutil.copytree(state / "cache", saved / "cache", dirs_exist_ok=True)
    shutil.rmtree(state)
    shutil.move(saved, state)
    (shop.elsewhere / DAYS[4]).write_text("9")
    shop.project().materialize("orders", partitions=DAYS[4], force=True)
    for _ in range(3):  # as many commits as there were
        shop.project().materialize("seen", force=True)

    check(shop.project(), ["the catalog was put back"])
    assert f"week[{DAYS[4]}]" in [step.asset for step in shop.project().plan().run]


def test_a_source_above_partitions_is_asked_once_for_each_verb(tmp_path: Path) -> None:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(
        "from pathlib import Path\n\nimport pandas as pd\n\nfrom assetflow import Static, asset, source\n\n\n"
        "def asked() -> int:\n"
        f"    with open({str(tmp_path / 'asked')!r}, 'a') as file:\n        file.write('x')\n    return 1\n\n\n"
        "rate = source('rate', version=asked, load=lambda: 2)\n\n\n"
        "@asset(partitions=Static(['a', 'b']))\n"
        "def priced(rate: int) -> pd.DataFrame:\n    return pd.DataFrame({'rate': [rate]})\n"
    )
    project = Project.load(tmp_path)
    asked = tmp_path / "asked"
    for verb in (project.materialize, project.plan, project.materialize):
        asked.write_text("")
        verb()
        assert asked.read_text() == "x", verb


KEYED = """
from pathlib import Path

import pandas as pd

from assetflow import Daily, Multi, Partition, Static, asset

NAMES = Static({names!r})
PAIRS = Multi({{"name": NAMES, "day": Daily("2026-01-01", end="2026-01-02")}})


@asset(partitions=NAMES)
def up(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"name": [partition.key]}})


@asset(partitions=NAMES)
def seeing(up: pd.DataFrame, partition: Partition) -> pd.DataFrame:
    file = Path(__file__).parent / "seen.txt"
    return up.assign(seen=file.read_text() if partition.key == {names!r}[0] else "")


@asset(partitions=PAIRS)
def paired(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({{"pair": [partition.key]}})
"""
NAMES = ["plain", "a b", "50%", "ü", "_", "x.y", "x" * 130, "New-York_2"]


def test_keys_of_any_form_are_told_in_columns_as_they_are_in_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_IN_ROWS", 1)
    monkeypatch.setattr(holding, "MOST_LOOKED_FOR", 0)
    (tmp_path / "assetflow.toml").write_text('modules = ["keyed"]\n')
    (tmp_path / "keyed.py").write_text(KEYED.format(names=NAMES))
    (tmp_path / "seen.txt").write_text("1")
    Project.load(tmp_path).materialize().raise_for_status()
    note = tmp_path / ".assetflow" / "cache" / "partitions-dev.json"

    def first() -> Plan:
        note.unlink(missing_ok=True)
        return Project.load(tmp_path).plan()

    current = first()
    assert (current.is_empty, sum(current.settled.values())) == (True, 4 * len(NAMES))
    (tmp_path / "seen.txt").write_text("2")
    assert [step.asset for step in first().run] == ["seeing[plain]"]
    [lost] = (tmp_path / ".assetflow" / "data" / "up").glob("a%20b*")
    shutil.rmtree(lost)
    assert [step.asset for step in first().run] == ["up[a b]", "seeing[plain]"]
    (tmp_path / "keyed.py").write_text(KEYED.format(names=NAMES[1:]))
    assert [step.asset for step in first().run if step.spec.node.startswith("up")] == ["up[a b]"]
