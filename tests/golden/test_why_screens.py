from __future__ import annotations

import re
from collections.abc import Callable

# pyright: basic

Golden = Callable[[str, str], None]


def plain(screen: str) -> str:
    """The screen without digests."""
    return re.sub(r"fingerprint [0-9a-f]{8} → [0-9a-f]{8}", "fingerprint 01234567 → 89abcdef", screen)


def test_why(cafe, golden: Golden) -> None:
    golden("why_new", cafe.run("why", "report"))
    cafe.run("materialize", "-q", "--progress", "none")
    golden("why_current", cafe.run("why", "report"))
    cafe.change("    return price", "    return price * 1.1")
    golden("why_helper", plain(cafe.run("why", "report")))
    golden("why_csv", cafe.run("why", "report", "--format", "csv"))
    cafe.change(
        '    return [{"drinks": len(menu), "revenue": sum(row["revenue"] for row in revenue)}]',
        '    return [{"drinks": len(menu), "revenue": sum(row["revenue"] for row in revenue if row["revenue"] > 1)}]',
    )
    golden("why_long_line", plain(cafe.run("why", "report")))
    cafe.change("cheapest = 1.0", "cheapest = 2.6", "assetflow.toml")
    cafe.change("3,tea,2.0,returned", "3,tea,2.0,served", "data/orders.csv")
    cafe.change('    return [{"drinks": len(menu),', '    return [{"drinks": len(menu), "menu": bool(menu),')
    golden("why_everything", plain(cafe.run("why", "report")))
    golden("why_unknown", cafe.run("why", "reprt"))


def test_why_of_a_constant_three_modules_away(cafe, golden: Golden) -> None:
    cafe.write("prices/__init__.py", "")
    cafe.write("prices/menu.py", "from prices.tips import tipped\n\n\ndef price_of(gross):\n    return tipped(gross)\n")
    cafe.write("prices/tips.py", "from . import rates\n\n\ndef tipped(gross):\n    return gross * (1 + rates.TIP)\n")
    cafe.write("prices/rates.py", '"""What is usual here."""\n\nTIP = 0.1\n')
    cafe.change("def with_tip(price):\n    return price", "def with_tip(price):\n    return price_of(price)")
    cafe.change("import pyarrow as pa\n", "import pyarrow as pa\nfrom prices.menu import price_of\n")
    cafe.run("materialize", "-q", "--progress", "none")
    cafe.change("TIP = 0.1", "TIP = 0.15", "prices/rates.py")
    golden("why_three_modules", plain(cafe.run("why", "report")))


def test_why_of_data(cafe, golden: Golden) -> None:
    cafe.run("materialize", "-q", "--progress", "none")
    cafe.change("3,tea,2.0,returned", "3,tea,2.0,served", "data/orders.csv")
    cafe.change("1,espresso,2.5,", "1,espresso,2.6,", "data/orders.csv")
    golden("why_source", cafe.run("why", "orders"))
    cafe.run("materialize", "orders", "-q", "--progress", "none")
    golden("why_rows", cafe.run("why", "menu"))
    golden("why_against", cafe.run("why", "orders", "--against", "HEAD~1"))
    (cafe.root / "data" / "orders.csv").unlink()
    golden("why_blocked", cafe.run("why", "menu"))


def test_why_not(cafe, golden: Golden) -> None:
    golden("why_not_no_run", cafe.run("why", "--not", "menu"))
    cafe.run("materialize", "orders", "-q", "--progress", "none")
    golden("why_not_excluded", cafe.run("why", "--not", "menu"))
    cafe.run("materialize", "-q", "--progress", "none")
    cafe.run("pin", "menu")
    golden("why_pinned", cafe.run("why", "menu"))
    golden("why_not_both", cafe.run("why", "--not", "menu", "--against", "1"))


def test_help(cafe, golden: Golden) -> None:
    golden("help_why", cafe.run("why", "--help"))
    golden("help_check", cafe.run("check", "--help"))
    golden("help_verify", cafe.run("verify", "--help"))
    golden("help_watch", cafe.run("watch", "--help"))
