from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# pyright: basic

Golden = Callable[[str, str], None]


def built(cafe) -> None:
    cafe.run("materialize", "-q", "--progress", "none")


def test_the_screens_of_a_new_project(cafe, golden: Golden) -> None:
    golden("home_new", cafe.run())
    golden("plan_new", cafe.run("plan"))
    golden("status_new", cafe.run("status", "--format", "table"))
    golden("history_none", cafe.run("history", "orders"))
    golden("runs_none", cafe.run("runs"))
    golden("logs_none", cafe.run("logs"))


def test_the_first_run(cafe, golden: Golden) -> None:
    golden("materialize_first", cafe.run("materialize", "--executor", "inline"))
    golden("materialize_again", cafe.run("materialize"))
    golden("plan_nothing", cafe.run("plan"))


def test_every_outcome_is_listed_by_the_summary(cafe, golden: Golden) -> None:
    golden("materialize_summary", cafe.run("materialize", "--executor", "inline", "--progress", "summary"))


def test_the_screens_of_a_built_project(cafe, golden: Golden) -> None:
    built(cafe)
    golden("home_built", cafe.run())
    golden("ls", cafe.run("ls", "--format", "table"))
    golden("ls_plain", cafe.run("ls"))
    golden("ls_ascii", cafe.run("ls", "--format", "table", "--ascii"))
    golden("ls_markdown", cafe.run("ls", "group:marts", "--format", "md"))
    golden("ls_nothing", cafe.run("ls", "is:failed", "--format", "table"))
    golden("status", cafe.run("status", "--format", "table"))
    golden("status_freshness", cafe.run("status", "--freshness", "--format", "table"))
    golden("show", cafe.run("show", "revenue"))
    golden("show_source", cafe.run("show", "raw_orders"))
    golden("show_code", cafe.run("show", "menu", "--code"))
    golden("lineage", cafe.run("lineage"))
    golden("lineage_down", cafe.run("lineage", "orders", "--down", "-d", "1"))
    golden("history", cafe.run("history", "revenue", "--format", "table"))
    golden("preview", cafe.run("preview", "orders", "--format", "table"))
    golden("sql", cafe.run("sql", "select drink, revenue from revenue order by drink", "--format", "table"))
    golden("runs", cafe.run("runs", "--format", "table"))
    golden("runs_show", cafe.run("runs", "show", "1"))
    golden("logs", cafe.run("logs"))
    golden("config", cafe.run("config", "--format", "table"))


def test_a_change_of_code(cafe, golden: Golden) -> None:
    built(cafe)
    cafe.change("return price", "return price * 1.1")
    cafe.change('row["status"] == "served"', 'row["status"] in ("served", "to go")')
    golden("plan_changed", cafe.run("plan"))
    golden("plan_markdown", cafe.run("plan", "--format", "md"))
    golden("home_stale", cafe.run())
    golden("status_stale", cafe.run("status", "--format", "table"))
    golden("materialize_changed", cafe.run("materialize", "--executor", "inline"))
    golden("history_changed", cafe.run("history", "revenue", "--format", "table"))


def test_the_screens_of_a_difference(cafe, golden: Golden) -> None:
    built(cafe)
    golden("diff_nothing_before", cafe.run("diff", "revenue"))
    cafe.change("return price", "return price * 1.1")
    cafe.write(
        "data/orders.csv", (cafe.root / "data/orders.csv").read_text().replace("3,tea", "5,mocha,4.0,served\n3,tea")
    )
    built(cafe)
    golden("diff", cafe.run("diff", "revenue"))
    golden("diff_stats", cafe.run("diff", "revenue@1", "revenue@2", "--key", "drink", "--stats"))
    golden("diff_schema", cafe.run("diff", "orders", "--schema"))
    golden("diff_json_value", cafe.run("diff", "menu"))
    golden("diff_rows_csv", cafe.run("diff", "revenue", "--rows", "--format", "csv"))
    golden("diff_identical", cafe.run("diff", "orders@2", "orders@2", "--exit-code"))
    golden("diff_different", cafe.run("diff", "orders", "--exit-code"))


def test_a_rollback_and_a_pin(cafe, golden: Golden) -> None:
    built(cafe)
    cafe.change('row["status"] == "served"', 'row["status"] in ("served", "returned")')
    built(cafe)
    golden("rollback_asks", cafe.run("rollback", "orders", "--downstream"))
    golden("rollback_dry_run", cafe.run("rollback", "orders", "--dry-run"))
    golden("rollback", cafe.run("rollback", "orders", "--downstream", "-y", "--reason", "returned drinks"))
    golden("rollback_json", cafe.run("rollback", "orders", "--to", "1", "--json", "-y"))
    golden("rollback_plan", cafe.run("plan"))
    golden("rollback_status", cafe.run("status", "--format", "table"))
    golden("rollback_show", cafe.run("show", "orders"))
    golden("rollback_history", cafe.run("history", "orders", "--format", "table"))
    golden("rollback_forced", cafe.run("materialize", "orders", "--force"))
    golden("unpin", cafe.run("unpin", "is:pinned"))
    golden("unpin_plan", cafe.run("plan"))
    golden("pin", cafe.run("pin", "orders@2", "menu", "--reason", "audit"))
    golden("pin_plan", cafe.run("plan"))
    golden("version_too_early", cafe.run("preview", "orders@2020-01-01"))


def test_what_people_say(cafe, golden: Golden) -> None:
    built(cafe)
    cafe.change('row["status"] == "served"', 'row["status"] in ("served", "returned")')
    golden("accept", cafe.run("accept", "orders", "menu", "--reason", "nothing was returned"))
    golden("accept_show", cafe.run("show", "orders"))
    golden("accept_history", cafe.run("history", "orders", "--format", "table"))
    golden("accept_revoked", cafe.run("accept", "--revoke", "orders"))
    golden("invalidate", cafe.run("invalidate", "menu", "--reason", "the prices were wrong"))
    golden("invalidate_plan", cafe.run("plan"))
    golden("mark", cafe.run("mark", "orders", "--current", "--reason", "looked at it"))
    golden("mark_nothing", cafe.run("mark", "orders"))
    golden("status_verbose", cafe.run("status", "-v", "--format", "table"))
    golden("help_accept", cafe.run("accept", "--help"))


def test_a_plan_in_a_file(cafe, golden: Golden) -> None:
    built(cafe)
    cafe.change('row["status"] == "served"', 'row["status"] in ("served", "returned")')
    golden("plan_saved", cafe.run("plan", "-o", "plan.json"))
    cafe.change('("served", "returned")', '("served", "returned", "open")')
    golden("plan_moved", cafe.run("materialize", "--plan", "plan.json"))
    golden("plan_misused", cafe.run("materialize", "orders", "--plan", "plan.json"))


def test_a_failure(cafe, golden: Golden) -> None:
    built(cafe)
    cafe.change('totals.get(row["drink"], 0.0)', 'totals.get(row["drinks"], 0.0)')
    golden("materialize_failed", cafe.run("materialize", "--executor", "inline"))
    golden("home_failed", cafe.run())
    golden("status_failed", cafe.run("status", "--format", "table"))
    golden("show_failed", cafe.run("show", "revenue"))
    golden("show_blocked", cafe.run("show", "report"))
    golden("plan_failed", cafe.run("plan"))
    golden("runs_failed", cafe.run("runs", "--format", "table"))
    golden("runs_show_failed", cafe.run("runs", "show", "2"))
    golden("logs_failed", cafe.run("logs", "revenue"))


def test_a_check_that_fails(cafe, golden: Golden) -> None:
    built(cafe)
    cafe.change("checks=[row_count(1)]", "checks=[row_count(2)]")
    cafe.change('return [{"drinks": len(menu),', 'return [{"drinks": len(menu) + 0,')
    golden("materialize_rejected", cafe.run("materialize", "--executor", "inline"))
    golden("show_rejected", cafe.run("show", "report"))


def test_a_source_that_is_gone(cafe, golden: Golden) -> None:
    built(cafe)
    (cafe.root / "data/orders.csv").unlink()
    golden("plan_blocked", cafe.run("plan"))
    golden("materialize_blocked", cafe.run("materialize"))


def test_data_that_is_too_old(cafe, golden: Golden, monkeypatch) -> None:
    from datetime import timedelta

    built(cafe)
    monkeypatch.setattr("time.time", lambda: 1772717402.0 + timedelta(hours=26).total_seconds())
    now = 1772717402.0 + timedelta(hours=26).total_seconds()
    golden("home_overdue", cafe.run(now=now))
    golden("status_overdue", cafe.run("status", "--freshness", "--format", "table", now=now))
    golden("show_overdue", cafe.run("show", "revenue", now=now))
    golden("why_overdue", cafe.run("why", "revenue", now=now))
    golden("metrics", cafe.run("metrics", now=now))
    golden("metrics_file", cafe.run("metrics", "-o", "cafe.prom", now=now))
    golden("metrics_nowhere", cafe.run("metrics", "-o", "nowhere/cafe.prom", now=now))
    golden("metrics_no_table", cafe.run("metrics", "--format", "csv", now=now))


def test_deadlines_in_the_zones_of_their_policies_and_what_makes_assets_late(cafe, golden: Golden, monkeypatch) -> None:
    from datetime import timedelta

    london = 'freshness=Freshness(by="0 8 * * *", tz="Europe/London")'
    cafe.change("checks=[row_count(1)])", f"checks=[row_count(1)], {london})")
    cafe.change('@asset(group="staging",', f'@asset(group="staging", {london},')
    cafe.change('@asset(group="marts")\ndef menu', '@asset(group="marts", freshness=Freshness(within="30d"))\ndef menu')
    cafe.write(
        "assetflow.toml", (cafe.root / "assetflow.toml").read_text().replace("\n\n", '\ntz = "Asia/Tokyo"\n\n', 1)
    )
    built(cafe)
    now = 1772717402.0 + timedelta(days=3).total_seconds()
    monkeypatch.setattr("time.time", lambda: now)
    golden("freshness_zones", cafe.run("status", "--freshness", "--format", "table", now=now, zone=""))
    cafe.write("data/orders.csv", (cafe.root / "data/orders.csv").read_text() + "5,mocha,4.0,served\n", at=now - 60)
    cafe.change("return price", "return price / 0")
    golden("freshness_stale", cafe.run("status", "--freshness", "--format", "table", now=now, zone=""))
    cafe.run("materialize", "-q", "--progress", "none")
    monkeypatch.setenv("COLUMNS", "140")
    golden("freshness_failed", cafe.run("status", "--freshness", "--format", "table", now=now, zone=""))
    golden("freshness_csv", cafe.run("status", "--freshness", "--format", "csv", now=now))


def test_errors_in_what_was_typed(cafe, golden: Golden) -> None:
    golden("error_verb", cafe.run("plam"))
    golden("error_option", cafe.run("ls", "--colour"))
    golden("error_asset", cafe.run("plan", "revnue"))
    golden("error_selection", cafe.run("plan", "orders and and"))
    golden("error_version_in_selection", cafe.run("plan", "@orders"))
    golden("error_not_built", cafe.run("preview", "orders"))
    golden("error_sql", cafe.run("sql", "select * from ordrs"))
    golden("error_set", cafe.run("materialize", "--set", "cheapest=3"))
    golden("error_run", cafe.run("runs", "show", "7"))


def test_errors_in_the_project(cafe, golden: Golden) -> None:
    cafe.change("def revenue(orders: Rows)", "def revenue(ordrs: Rows)")
    cafe.change("def report(revenue: Rows, menu: Rows)", "def report(revenue: Rows, menus: Rows)")
    golden("error_parameters", cafe.run("plan"))


def test_an_error_in_the_settings(cafe, golden: Golden) -> None:
    cafe.change("modules =", "module =", "assetflow.toml")
    golden("error_settings", cafe.run("ls"))


def test_no_project(cafe, golden: Golden, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    golden("error_no_project", cafe.run("ls").replace(str(tmp_path), "/home/you"))


def test_init_and_its_first_plan(cafe, golden: Golden, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    golden("init", cafe.run("init", "shop"))
    golden("init_again", cafe.run("init", "shop"))
    monkeypatch.chdir(tmp_path / "shop")
    golden("init_plan", cafe.run("plan"))


def test_explanations(cafe, golden: Golden) -> None:
    golden("explain", cafe.run("explain", "AF101"))
    golden("explain_list", cafe.run("explain", "--format", "tsv"))


def test_help(cafe, golden: Golden) -> None:
    golden("help", cafe.run("--help"))
    golden("help_materialize", cafe.run("materialize", "--help"))
