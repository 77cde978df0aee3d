"""Metrics of real projects, read back by a reader of the specification (`openmetrics_grammar.py`)."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.counting import BOUNDS, Counting, Totals
from assetflow.catalog.rows import queries
from assetflow.cli.measuring import write_whole
from assetflow.errors import NotWritable
from assetflow.model.keys import AssetKey, slot
from assetflow.model.records import Attempt
from assetflow.observing.metrics import metrics
from assetflow.observing.openmetrics import Family, Sample, exposition
from tests.unit.observing.openmetrics_grammar import Read, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv", freshness=Freshness(within="2d"))

@asset(group="staging", owners=["ann@shop.example", "bob@shop.example"], tags={"tier": 'a "b" \\\\ c', "to-do": "x"})
def orders(raw: pa.Table) -> pa.Table:
    return raw

@asset(key="marts.totals", freshness=Freshness(within="24h"), checks=[not_null("net")])
def totals(orders: pa.Table) -> pa.Table:
    return orders

@asset
def broken(orders: pa.Table) -> int:
    raise ValueError("no")

@asset
def after(broken: int) -> int:
    return broken
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, settings='name = "a \\"shop\\" \\\\ of\\nten"\n')
    path = workspace.file("raw.csv", "id,net\n1,10\n2,20\n")
    os.utime(path, (time.time() - 3 * 86_400, time.time() - 3 * 86_400))
    assert not workspace.materialize().ok
    return workspace


def families(shop: Workspace, now: float | None = None) -> dict[str, Read]:
    return read(shop.project().metrics(now=now).text)


def by(family: Read, *labels: str) -> dict[tuple[str, ...] | str, float]:
    """The values by these labels."""
    found = {tuple(dict(given)[label] for label in labels): value for (_, given), value in family.samples.items()}
    return {key[0] if len(labels) == 1 else key: value for key, value in found.items()}


def totals(found: dict[str, Read]) -> dict[object, float]:
    """Every series that must never fall."""
    kinds = ("counter", "histogram")
    return {key: value for one in found.values() if one.kind in kinds for key, value in one.samples.items()}


# ----------------------------------------------------------------------------------------------------- what is told


def test_states_are_those_of_status_on_both_axes(shop: Workspace) -> None:
    found = families(shop)
    status = shop.project().status()

    assert set(by(found["assetflow_asset_state"], "asset", "state")) == {(row.spec.key, row.state) for row in status}
    assert by(found["assetflow_overdue"], "asset") == {"marts.totals": 1.0, "raw": 1.0}
    assert by(found["assetflow_assets"], "state") == {
        "missing": 0, "stale": 0, "maybe": 0, "reusable": 0, "current": 2, "pinned": 0, "undecided": 0, "failed": 1,
        "blocked": 1, "running": 0,
    }  # fmt: skip
    assert by(found["assetflow_deadlines"], "timeliness") == {
        "on_time": 0, "due": 0, "overdue": 2, "unknown": 0, "no_policy": 3,
    }  # fmt: skip


def test_the_lag_is_the_age_of_the_data_at_the_time_that_is_given(shop: Workspace) -> None:
    now = time.time() + 1000
    lag = by(families(shop, now)["assetflow_freshness_lag_seconds"], "asset")

    assert set(lag) == {"raw", "orders", "marts.totals"}, "what was never made has no data"
    assert all(value == pytest.approx(3 * 86_400 + 1000, abs=60) for value in lag.values())
    deadline = by(families(shop, now)["assetflow_deadline_timestamp_seconds"], "asset")
    assert deadline["marts.totals"] == pytest.approx(now - 1000 - 2 * 86_400, abs=60)


def test_rows_and_bytes_are_those_of_the_current_version(shop: Workspace) -> None:
    found = families(shop)
    head = shop.project().status()["marts.totals"].head

    assert head is not None
    assert by(found["assetflow_rows"], "asset")["marts.totals"] == 2
    assert by(found["assetflow_bytes"], "asset")["marts.totals"] == head.version.size_bytes
    stored = sum(path.stat().st_size for path in shop.stored() if path.suffix == ".parquet")
    assert by(found["assetflow_store_bytes"], "state")["live"] == stored


def test_attempts_and_runs_are_counted_by_what_became_of_them(shop: Workspace) -> None:
    shop.materialize()

    found = families(shop)
    results = by(found["assetflow_materializations"], "result")
    assert (results["materialized"], results["failed"], results["blocked"]) == (2, 2, 2)
    assert by(found["assetflow_runs"], "state") == {"ok": 0, "failed": 2, "cancelled": 0, "died": 0}
    assert by(found["assetflow_runs_going_on"], "env") == {"dev": 0}


def test_durations_are_a_histogram_of_the_attempts_that_are_recorded(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    workspace.materialize()
    project = workspace.project()
    before = totals(read(project.metrics().text))
    seconds = [0.0, 0.09, 0.2, 1.0, 1.5, 59.0, 14_400.0, 14_401.0, -3.0]
    _record(project.settings.catalog_path, "one", seconds)

    after = read(project.metrics().text)["assetflow_duration_seconds"]
    added = {key: value - before[key] for key, value in after.samples.items() if dict(key[1])["result"] == "failed"}
    buckets = {dict(labels)["le"]: value for (name, labels), value in added.items() if name.endswith("_bucket")}
    assert buckets == {
        **{str(bound): sum(one <= bound for one in seconds) for bound in BOUNDS}, "+Inf": len(seconds),
    }  # fmt: skip
    (whole,) = [value for (name, _), value in added.items() if name.endswith("_sum")]
    assert whole == pytest.approx(sum(max(0.0, one) for one in seconds))


def _record(catalog_path: Path, asset: str, seconds: list[float]) -> None:
    catalog = Catalog(catalog_path, write=True)
    run_id, _ = catalog.begin_run("dev", selection="", cause="cli", user="u", host="h", pid=1, at=1.0)
    catalog.save_attempts(
        "dev",
        [
            Attempt(run_id, AssetKey(asset), "", number, "failed", 1000.0, 1000.0 + one)
            for number, one in enumerate(seconds)
        ],
    )
    catalog.finish_run(run_id, "failed", {}, 2.0)
    catalog.close()


def test_the_bounds_of_the_statement_are_those_that_are_told() -> None:
    found = re.findall(r"WHEN seconds <= ([\d.]+) THEN ([\d.]+)", queries()["count_attempts"])

    assert [(float(kept), float(named)) for kept, named in found] == [(bound, bound) for bound in BOUNDS]


def test_what_goes_on_is_not_counted_before_it_ends(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    workspace.materialize()
    path = workspace.project().settings.catalog_path
    catalog = Catalog(path, write=True)
    before = Counting(catalog.database).totals("dev")
    run_id, _ = catalog.begin_run("dev", selection="", cause="cli", user="u", host="h", pid=1, at=1.0)
    catalog.save_attempts("dev", [Attempt(run_id, AssetKey("one"), "", 1, "running", 1.0, None)])
    during = Counting(catalog.database).totals("dev")
    catalog.end_dead_runs("dev", 9.0)
    after = Counting(catalog.database).totals("dev")
    catalog.close()

    assert during == before
    assert (after.runs["died"], after.attempts["died"]) == (1, 1)


def test_environments_are_told_apart_and_the_store_is_shared(shop: Workspace) -> None:
    found = read(shop.project("other").metrics().text)

    assert by(found["assetflow_assets"], "env", "state")["other", "missing"] == 4
    assert by(found["assetflow_runs"], "state")["failed"] == 0
    assert by(found["assetflow_store_versions"], "state") == by(families(shop)["assetflow_store_versions"], "state")


# ------------------------------------------------------------------------------------------------------------- text


def test_labels_that_no_line_could_hold_are_escaped_and_read_back(shop: Workspace) -> None:
    found = by(families(shop)["assetflow_asset_labels"], "asset", "project", "kind")
    labels = next(
        dict(given) for _, given in families(shop)["assetflow_asset_labels"].samples if dict(given)["asset"] == "orders"
    )

    assert ("orders", 'a "shop" \\ of\nten', "asset") in found
    assert labels["tag_tier"] == 'a "b" \\ c'
    assert labels["tag_to_do"] == "x"
    assert labels["owners"] == "ann@shop.example,bob@shop.example"


def test_tags_that_would_be_one_label_are_two(workspace: Workspace) -> None:
    workspace.assets('@asset(tags={"a-b": "1", "a.b": "2", "a_b": "3", "bare": ""})\ndef one() -> int:\n    return 1\n')
    ((_, labels),) = read(workspace.project().metrics().text)["assetflow_asset_labels"].samples

    tags = {name: value for name, value in labels if name.startswith("tag_")}
    assert tags == {"tag_a_b": "1", "tag_a_b_": "2", "tag_a_b__": "3", "tag_bare": "true"}


def test_a_partition_has_a_label_of_its_own_whatever_its_key(shop: Workspace) -> None:
    status = shop.project().status()
    row = status["orders"]
    keys = ["2026-01-05", 'a "quoted" \\ [one]\nmore']
    rows = tuple(replace(row, spec=replace(row.spec, key=slot(AssetKey("orders"), key))) for key in keys)
    found = metrics("shop", replace(status, rows=rows), Totals({}, {}, {}, {}, {}), time.time())

    text = read(found.text)
    assert set(by(text["assetflow_asset_state"], "asset", "partition")) == {("orders", key) for key in keys}
    assert set(by(text["assetflow_rows"], "asset", "partition")) == {("orders", key) for key in keys}


odd = st.text(max_size=20) | st.sampled_from(
    ['"', "\\", "\n", '\\"', "\\n", "\ud800", "\r", "#", "{a}", "é ✓", "# EOF\n"]
)


@given(
    st.lists(st.tuples(odd, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, unique_by=lambda x: x[0]),
    odd,
)
def test_any_text_in_a_label_or_a_help_is_read_back_as_it_was(samples: list[tuple[str, float]], told: str) -> None:
    def writable(text: str) -> str:
        return text.encode("utf-8", "replace").decode()

    unique = {writable(text): value for text, value in samples}
    made = Family("a_gauge", "gauge", told + ".", tuple(Sample({"x": text}, value) for text, value in unique.items()))
    found = read(exposition([made]))["a_gauge"]

    assert {labels[0][1]: value for (_, labels), value in found.samples.items()} == unique
    assert found.help == writable(told) + "."


def test_a_project_without_runs_has_metrics(workspace: Workspace) -> None:
    workspace.assets("@asset(freshness=Freshness(within='1h'))\ndef one() -> int:\n    return 1\n")
    found = read(workspace.project().metrics().text)

    assert by(found["assetflow_asset_state"], "asset", "state") == {("one", "missing"): 1}
    assert "assetflow_overdue" not in found, "without data nobody can say"
    assert set(by(found["assetflow_materializations"], "result").values()) == {0}
    assert "assetflow_rows" not in found, "a family without samples is left out"


@pytest.mark.parametrize(
    "broken",
    [
        "# TYPE a gauge\n# HELP a h\na 1\n",
        "# TYPE a gauge\n# HELP a h\na 1\na 2\n# EOF\n",
        "# TYPE a counter\n# HELP a h\na 1\n# EOF\n",
        '# TYPE a gauge\n# HELP a h\na{b="c"d"} 1\n# EOF\n',
        '# TYPE a gauge\n# HELP a h\na{b="\\q"} 1\n# EOF\n',
        "# TYPE a gauge\n# UNIT a seconds\n# HELP a h\na 1\n# EOF\n",
        "# TYPE a info\n# HELP a h\na_info 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na 1 \n# EOF\n",
        '# TYPE a histogram\n# HELP a h\na_bucket{le="1.0"} 2\na_bucket{le="+Inf"} 1\na_count 1\na_sum 1\n# EOF\n',
        "# TYPE a counter\n# HELP a h\na_total 1\n# TYPE a_total gauge\n# HELP a_total h\na_total 1\n# EOF\n",
    ],
)
def test_the_reader_of_these_tests_refuses_what_is_no_openmetrics(broken: str) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError, IndexError)):
        read(broken)


# --------------------------------------------------------------------------------------------------------- cardinality


def test_of_too_many_assets_the_last_keys_are_left_out_and_counted(shop: Workspace) -> None:
    project = shop.project()
    with project._catalog() as catalog:
        counted = Counting(catalog.database).totals("dev")
    found = metrics("shop", project.status(), counted, time.time(), most=2)
    text = read(found.text)

    assert (found.assets, found.left_out) == (2, 3)
    assert by(text["assetflow_assets_left_out"], "env") == {"dev": 3}
    assert set(by(text["assetflow_asset_state"], "asset")) == {"after", "broken"}
    assert sum(by(text["assetflow_assets"], "state").values()) == 4, "counts are of all"
    assert all(
        len(family.samples) <= 2 or "asset" not in dict(next(iter(family.samples))[1]) for family in text.values()
    )


# ------------------------------------------------------------------------------------------------------------- files


def test_a_file_is_whole_readable_by_others_and_alone(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_whole(tmp_path / "a.prom", "one ✓\n")
        write_whole(tmp_path / "a.prom", "two ✓\n")
    finally:
        os.umask(old)

    assert (tmp_path / "a.prom").read_bytes() == "two ✓\n".encode()
    assert (tmp_path / "a.prom").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.prom"]


def test_who_reads_the_file_while_it_is_written_sees_the_one_before(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.prom", "one\n")
    with (tmp_path / "a.prom").open() as reader:
        write_whole(tmp_path / "a.prom", "two\n")

        assert reader.read() == "one\n"


def test_a_file_that_cannot_be_written_leaves_the_one_before_and_no_draft(tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match="cannot be written"):
        write_whole(tmp_path / "missing" / "a.prom", "x")
    (tmp_path / "a.prom").mkdir()
    with pytest.raises(NotWritable):
        write_whole(tmp_path / "a.prom", "x")

    assert [path.name for path in tmp_path.iterdir()] == ["a.prom"]
