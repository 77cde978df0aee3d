from __future__ import annotations

from collections.abc import Callable

# pyright: basic

Golden = Callable[[str, str], None]

TAX = '''"""Tax."""

from datetime import date

RATES = {2024: 1.19, 2026: 1.2}


def net(gross):
    return gross / RATES[date.today().year]
'''


def doubtful(cafe) -> None:
    """The café with a helper that looks at the calendar, a file that is no input, and a type that cannot be."""
    cafe.write("tax.py", TAX)
    cafe.change(
        "def with_tip(price):\n    return price",
        "def with_tip(price):\n    from tax import net\n\n    return net(price)",
    )
    cafe.change('    print("reading"', '    open("data/orders.csv")\n    print("reading"')
    cafe.change("def report(revenue: Rows, menu: Rows)", "def report(revenue: Rows, menu: bytes)")


def test_check(cafe, golden: Golden) -> None:
    golden("check_nothing", cafe.run("check", "--static"))
    doubtful(cafe)
    golden("check", cafe.run("check", "--static"))
    golden("check_one", cafe.run("check", "orders", "--strict"))
    golden("check_csv", cafe.run("check", "--format", "csv"))


def test_check_of_a_project_that_does_not_load(cafe, golden: Golden) -> None:
    cafe.change("def report(revenue: Rows, menu: Rows)", "def report(revenue: Rows, menus: Rows)")
    cafe.change('freshness=Freshness(within="24h")', 'freshness=Freshness(by="0 8 * *")')
    golden("check_problems", cafe.run("check", "--static"))


def test_verify(cafe, golden: Golden) -> None:
    cafe.run("materialize", "-q", "--progress", "none")
    golden("verify", cafe.run("verify", "+report"))
    cafe.change(
        '        totals[row["drink"]] = totals.get(row["drink"], 0.0) + with_tip(row["price"])',
        '        totals[row["drink"]] = totals.get(row["drink"], 0.0) + 2 * with_tip(row["price"])',
    )
    golden("verify_other_code", cafe.run("verify", "revenue"))
    cafe.run("materialize", "-q", "--progress", "none")
    cafe.change("3,tea,2.0,returned", "3,tea,2.0,served", "data/orders.csv")
    golden("verify_cannot", cafe.run("verify", "orders", "revenue"))
    golden("verify_which", cafe.run("verify"))


def test_verify_of_what_depends_on_chance(cafe, golden: Golden) -> None:
    cafe.change(
        "def with_tip(price):\n    return price",
        "def with_tip(price):\n    from pathlib import Path\n\n    calls = Path(__file__).with_name('calls')\n"
        "    calls.write_text((calls.read_text() if calls.exists() else '') + 'x')\n"
        "    return price + len(calls.read_text())",
    )
    cafe.run("materialize", "-q", "--progress", "none")
    golden("verify_differs", cafe.run("verify", "revenue", "menu"))
