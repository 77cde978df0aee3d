"""Acceptance scenarios 1, 2, 3, 5, 6 and 7: what becomes stale by an edit, and what does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.conftest import Workspace

RATES = """
VAT = 20


def vat():
    return VAT
"""

PRICING = """
from shop.rates import vat


def gross(net):
    return net + net * vat() // 100
"""

ASSETS = """
from assetflow import asset
from shop.pricing import gross


@asset
def prices() -> int:
    return gross(100)


@asset
def stock() -> int:
    return 7


@asset
def report(prices: int, stock: int) -> int:
    return prices * stock


@asset
def labels(stock: int) -> str:
    return f"{stock} left"
"""


def actions(shop: Workspace) -> dict[str, str]:
    return {step.asset: str(step.action) for step in shop.project().plan() if step.action != "current"}


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.file("assetflow.toml", 'modules = ["shop"]\n')
    workspace.file("shop/__init__.py", "")
    workspace.file("shop/rates.py", RATES)
    workspace.file("shop/pricing.py", PRICING)
    workspace.file("shop/assets.py", ASSETS)
    workspace.materialize().raise_for_status()
    return workspace


def test_01_editing_a_helper_two_modules_away_makes_exactly_its_users_stale(shop: Workspace) -> None:
    shop.edit("VAT = 20", "VAT = 25", "shop/rates.py")

    assert actions(shop) == {"prices": "run", "report": "maybe"}
    [reason] = shop.project().plan()["prices"].reasons
    assert reason.code == "helper_changed"
    assert "VAT" in str(reason.data["changed"])
    assert shop.outcomes() == {"prices": "materialized", "report": "materialized"}
    assert shop.project().read("report") == 125 * 7


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("VAT = 20", "VAT = 20  # since last year", "shop/rates.py"),
        ("    return VAT\n", '    """In percent."""\n    return VAT\n', "shop/rates.py"),
        ("    return gross(100)\n", "    return gross(\n        100,\n    )\n", "shop/assets.py"),
        ("    return net + net * vat() // 100", "    return (net + ((net * vat()) // 100))", "shop/pricing.py"),
        ("\n\n@asset\ndef stock", "\n\n\n\n# stock\n\n\n@asset\ndef stock", "shop/assets.py"),
        ("from shop.rates import vat\n", "import sys\nfrom shop.rates import vat\n", "shop/pricing.py"),
    ],
    ids=["comment", "docstring", "format", "brackets", "moved_lines", "an_import_that_is_not_used"],
)
def test_02_what_changes_no_meaning_makes_nothing_stale(shop: Workspace, old: str, new: str, file: str) -> None:
    shop.edit(old, new, file)

    assert actions(shop) == {}
    assert shop.materialize().run_id is None


SHAPES = """
from functools import lru_cache, wraps

from assetflow import asset

LIMIT = 10
REGISTRY = {}


def registered(function):
    REGISTRY[function.__name__] = function
    return function


@registered
def squared(x):
    return x * x


def scaled(factor):
    def inner(x):
        return x * factor
    return inner


double = scaled(2)


def noisy(function):
    @wraps(function)
    def inner(*arguments):
        return function(*arguments) + 1
    return inner


@noisy
def plain(x):
    return x


class Base:
    offset = 5


class Rule(Base):
    def apply(self, x):
        return x + self.offset


STEPS = [lambda x: x + 3]


@lru_cache
def cached(x):
    return x - 4


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


@asset
def by_constant() -> int:
    return LIMIT


@asset
def by_default(factor=6) -> int:
    return factor


@asset
def by_closure() -> int:
    return double(8)


@asset
def by_registry() -> int:
    return REGISTRY["squared"](3)


@asset
def by_wrapper() -> int:
    return plain(1)


@asset
def by_base() -> int:
    return Rule().apply(1)


@asset
def by_lambda() -> int:
    return STEPS[0](1)


@asset
def by_cache() -> int:
    return cached(9)


@asset
def by_recursion() -> bool:
    return even(4)


@asset
def by_nothing() -> int:
    return 0
"""


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("LIMIT = 10", "LIMIT = 11", "by_constant"),
        ("by_default(factor=6)", "by_default(factor=7)", "by_default"),
        ("double = scaled(2)", "double = scaled(3)", "by_closure"),
        ("return x * x\n", "return x ** 3\n", "by_registry"),
        ("function(*arguments) + 1", "function(*arguments) + 2", "by_wrapper"),
        ("offset = 5", "offset = 6", "by_base"),
        ("lambda x: x + 3", "lambda x: x + 4", "by_lambda"),
        ("return x - 4", "return x - 5", "by_cache"),
        ("return False if n == 0", "return n < 0 if n == 0", "by_recursion"),
    ],
    ids=["constant", "default", "cell", "registry", "wrapper", "base_class", "lambda", "lru_cache", "recursion"],
)
def test_03_each_shape_of_code_makes_exactly_its_user_stale(
    workspace: Workspace, old: str, new: str, stale: str
) -> None:
    workspace.assets(SHAPES, prelude="")
    workspace.materialize().raise_for_status()

    workspace.edit(old, new)

    assert actions(workspace) == {stale: "run"}


def test_05_the_same_data_again_cuts_off_what_is_below_in_the_same_run(shop: Workspace) -> None:
    shop.edit("return gross(100)", "return gross(50 + 50)", "shop/assets.py")

    plan = shop.project().plan()
    result = shop.materialize()

    assert {step.asset for step in plan.maybe} == {"report"}
    assert {one.asset: one.state for one in result} == {"prices": "unchanged", "report": "cut_off"}
    assert shop.project().plan().is_empty


TABLES = """
@asset
def orders() -> pa.Table:
    ran("orders")
    return pa.table({"id": [1, 2], "net": [10, 20]})

@asset
def revenue(orders: Annotated[pa.Table, In(columns=["net"])]) -> int:
    ran("revenue")
    return sum(orders["net"].to_pylist())
"""


def test_06_a_new_column_that_nobody_reads_leaves_what_is_below_current(workspace: Workspace) -> None:
    workspace.assets(TABLES)
    workspace.materialize().raise_for_status()
    workspace.ran()

    workspace.edit('"net": [10, 20]})', '"net": [10, 20], "tax": [2, 4]})')
    outcomes = workspace.outcomes()

    assert outcomes == {"orders": "materialized", "revenue": "cut_off"}
    assert workspace.ran() == ["orders"]
    workspace.edit('"net": [10, 20]', '"net": [10, 30]')
    assert workspace.outcomes() == {"orders": "materialized", "revenue": "materialized"}


def git(root: Path, *arguments: str) -> None:
    names = ("-c", "user.name=ann", "-c", "user.email=ann@shop.example", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *names, *arguments], cwd=root, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")
def test_07_a_revert_links_everything_and_runs_nothing(workspace: Workspace) -> None:
    workspace.assets(
        """
        @asset
        def orders() -> int:
            ran("orders")
            return 10

        @asset
        def revenue(orders: int) -> int:
            ran("revenue")
            return orders * 2
        """
    )
    workspace.file(".gitignore", ".assetflow\nran.txt\n")
    git(workspace.root, "init", "-q")
    git(workspace.root, "add", ".")
    git(workspace.root, "commit", "-qm", "first")
    workspace.materialize().raise_for_status()
    workspace.edit("return 10", "return 11")
    git(workspace.root, "commit", "-qam", "second")
    workspace.materialize().raise_for_status()
    workspace.ran()

    git(workspace.root, "revert", "--no-edit", "HEAD")

    assert actions(workspace) == {"orders": "link", "revenue": "link"}
    assert workspace.outcomes() == {"orders": "linked", "revenue": "linked"}
    assert workspace.ran() == []
    assert workspace.project().read("revenue") == 20
    assert workspace.project().plan().is_empty
