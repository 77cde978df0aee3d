"""The file of views: what it shows, that no open shell stands in the way, and that losing it loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import duckdb
import pyarrow as pa
import pytest

from assetflow.errors import AssetflowError, StorageFailed
from assetflow.files import Files
from assetflow.io.duckdb_views import Surface
from assetflow.io.storage import Storage
from assetflow.io.warehouse import identity
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
@asset(key="shop.orders", io="duckdb")
def orders() -> pa.Table:
    ran("orders")
    return pa.table({"id": [1, 2, 3], "amount": [10, 20, 30]})

@asset(io="duckdb")
def total(orders: pa.Table) -> pa.Table:
    ran("total")
    return pa.table({"amount": [sum(orders["amount"].to_pylist())]})

@asset
def apart() -> pa.Table:
    return pa.table({"n": [1]})
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.materialize().raise_for_status()
    workspace.ran()
    return workspace


def views(shop: Workspace, env: str = "dev") -> Path:
    return shop.root / ".assetflow" / "views" / f"{env}.duckdb"


def ask(shop: Workspace, query: str, env: str = "dev") -> list[tuple[Any, ...]]:
    with duckdb.connect(str(views(shop, env)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def change(shop: Workspace, amount: int) -> None:
    shop.edit("30]", f"{amount}]")
    shop.materialize().raise_for_status()
    shop.edit(f"{amount}]", "30]")


# ----------------------------------------------------------------------------------------------- what it shows


def test_assets_are_parquet_files_and_views_over_them(shop: Workspace) -> None:
    project = shop.project()

    assert project.history("total")[0].head.version.io == "parquet"
    assert ask(shop, "SELECT sum(amount) FROM shop.orders") == [(60,)]
    assert ask(shop, "FROM total") == [(60,)]
    assert ask(shop, "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1") == [("orders",), ("total",)]
    assert not project.settings.warehouse_path.exists()


def test_earlier_versions_are_asked_for_by_number(shop: Workspace) -> None:
    change(shop, 40)

    assert ask(shop, "SELECT sum(amount) FROM shop.orders") == [(70,)]
    assert ask(shop, "SELECT sum(amount) FROM shop.orders_at(1)") == [(60,)]
    assert ask(shop, "FROM total_at(version := 1)") == [(60,)]
    with pytest.raises(duckdb.Error, match=r"shop\.orders has no version 9"):
        ask(shop, "FROM shop.orders_at(9)")


def test_the_file_lists_its_versions_and_comments_its_views(shop: Workspace) -> None:
    change(shop, 40)

    rows = ask(shop, "SELECT asset, version, is_current, rows, path FROM _assetflow.versions ORDER BY 1, 2")
    assert [row[:4] for row in rows] == [
        ("shop.orders", 1, False, 3), ("shop.orders", 2, True, 3), ("total", 1, False, 1), ("total", 2, True, 1),
    ]  # fmt: skip
    assert all(Path(row[4]).is_file() for row in rows)
    (comment,) = ask(shop, "SELECT comment FROM duckdb_views() WHERE view_name = 'total'")
    assert comment[0].startswith("total@2 ")
    assert " 1 row, made 20" in comment[0]


def test_every_environment_has_a_file_with_plain_names(shop: Workspace) -> None:
    shop.edit("30]", "40]")
    shop.materialize(env="trial").raise_for_status()

    assert ask(shop, "FROM total") == [(60,)]
    assert ask(shop, "FROM total", "trial") == [(70,)]


def test_an_asset_that_is_renamed_or_moved_to_parquet_goes(shop: Workspace) -> None:
    shop.edit('@asset(io="duckdb")\ndef total', "@asset\ndef total")
    shop.edit('"shop.orders"', '"shop.sales"')
    shop.edit("total(orders: pa.Table)", "total(sales: pa.Table)")
    shop.edit("sum(orders[", "sum(sales[")
    shop.materialize().raise_for_status()

    assert ask(shop, "SELECT view_name FROM duckdb_views() WHERE NOT internal") == [("sales",)]
    assert ask(shop, "SELECT DISTINCT asset FROM _assetflow.versions") == [("shop.sales",)]
    with pytest.raises(duckdb.Error, match="total_at"):
        ask(shop, "FROM total_at(1)")


def test_what_is_no_table_is_not_shown(workspace: Workspace) -> None:
    workspace.assets('@asset\ndef facts() -> dict:\n    return {"a": 1}\n', settings='io = "duckdb"\n')
    workspace.materialize().raise_for_status()

    assert not views(workspace).exists()


@pytest.mark.parametrize(("first", "then"), [("native", "views"), ("views", "native")])
def test_changing_the_mode_keeps_every_version_readable(workspace: Workspace, first: str, then: str) -> None:
    workspace.assets(SHOP, settings=f'duckdb = "{first}"\n')
    workspace.materialize().raise_for_status()
    workspace.file("assetflow.toml", f'modules = ["assets"]\nduckdb = "{then}"\n')

    assert set(workspace.states().values()) == {"current"}
    change(workspace, 40)

    project = workspace.project()
    assert [project.read(f"total@{number}", as_="records") for number in (1, 2)] == [[{"amount": 60}], [{"amount": 70}]]
    file = "views/dev.duckdb" if then == "views" else "warehouse.duckdb"
    with duckdb.connect(str(workspace.root / ".assetflow" / file), read_only=True) as connection:
        assert connection.execute("FROM total").fetchall() == [(70,)]


# ----------------------------------------------------------------------------------------------- open shells

SHELL = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
if sys.argv[2] == "write":
    connection.execute("CREATE TABLE mine AS SELECT 1 AS n")
print("open", flush=True)
for line in sys.stdin:
    print(connection.execute("FROM total").fetchall()[0][0], flush=True)
"""


@contextmanager
def a_shell(file: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """A program that has the file open and answers what the total is, a line for a line."""
    command = [sys.executable, "-c", SHELL, str(file), mode]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    process.stdout.close()


def total_of(shell: subprocess.Popen[str]) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write("?\n")
    shell.stdin.flush()
    return shell.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["read", "idle", "write"])
def test_an_open_shell_neither_blocks_a_run_nor_is_disturbed(shop: Workspace, mode: str) -> None:
    with a_shell(views(shop), mode) as shell:
        change(shop, 40)

        assert total_of(shell) == "60"
        assert ask(shop, "FROM total") == [(70,)]
        change(shop, 50)
        assert ask(shop, "FROM total") == [(80,)]
    assert ask(shop, "FROM total") == [(80,)]
    assert ask(shop, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'") == [(0,)]


# ----------------------------------------------------------------------------------------------- it is derived


def spoil(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("harm", [Path.unlink, spoil, lambda file: file.write_bytes(b"")], ids=["lost", "cut", "empty"])
def test_a_file_that_is_lost_or_damaged_is_made_again_though_nothing_is_to_do(shop: Workspace, harm: Any) -> None:
    harm(views(shop))

    assert shop.materialize().run_id is None

    assert shop.ran() == []
    assert ask(shop, "FROM total") == [(60,)]
    assert ask(shop, "FROM total_at(1)") == [(60,)]


def test_what_somebody_changed_in_it_does_not_last(shop: Workspace) -> None:
    with duckdb.connect(str(views(shop))) as connection:
        connection.execute("CREATE OR REPLACE VIEW total AS SELECT 1 AS amount")
        connection.execute("CREATE TABLE mine AS SELECT 1 AS n")

    shop.materialize("apart", force=True).raise_for_status()

    assert ask(shop, "FROM total") == [(60,)]
    assert ask(shop, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'") == [(0,)]


def test_the_file_is_left_alone_when_nothing_of_it_would_change(shop: Workspace) -> None:
    before = identity(views(shop))
    shop.project()
    code = (
        "import sys\nfrom assetflow import Project\n"
        f"project = Project.load({str(shop.root)!r})\n"
        "assert project.materialize().run_id is None\n"
        "assert not {'duckdb', 'pyarrow'} & set(sys.modules), 'it was imported'\n"
        "project.materialize('apart', force=True).raise_for_status()\n"
        "assert 'duckdb' not in sys.modules, 'duckdb was imported'\n"
        "print('fine')\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout == "fine\n", done.stderr
    assert identity(views(shop)) == before


def version(storage: Storage, number: int) -> Version:
    staged = storage.write(
        pa.table({"n": [number]}),
        key=AssetKey("orders"), partition="", io="duckdb", io_is_explicit=True, declared=None, run_id=1,
    )  # fmt: skip
    new = storage.publish(staged)
    return Version(
        number, AssetKey("orders"), "", number, new.data_hash, new.io, new.location, new.rows, new.size_bytes,
        new.schema, new.columns, new.details, 0.0,
    )  # fmt: skip


def storage_in(folder: Path, files: Files | None = None) -> Storage:
    return Storage(
        folder / "store", warehouse=folder / "warehouse.duckdb", duckdb="views", views=folder / "views", files=files
    )


class FailingAt(Files):
    """Files whose n-th operation fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StorageFailed("the disk is gone")

    def create(self, path: Path) -> BinaryIO:
        self._step()
        return super().create(path)

    def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
        self._step()
        return super().write(handle, data)

    def sync_file(self, handle: BinaryIO) -> None:
        self._step()
        super().sync_file(handle)

    def sync_directory(self, path: Path) -> None:
        self._step()
        super().sync_directory(path)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def remove_tree(self, path: Path) -> None:
        self._step()
        super().remove_tree(path)


def test_a_publish_that_fails_anywhere_leaves_a_whole_file_and_the_next_one_mends_it(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    versions = [version(storage, number) for number in (1, 2)]
    file = tmp_path / "views" / "views.duckdb"
    failed = 0
    for number in range(1, 100):
        storage.present(Surface((versions[0],)))
        faulty = FailingAt(number)
        try:
            storage_in(tmp_path, faulty).present(Surface((versions[1],)))
        except AssetflowError:
            failed += 1
        with duckdb.connect(str(file), read_only=True) as connection:
            assert connection.execute("FROM orders").fetchall() in ([(1,)], [(2,)])
        storage.present(Surface((versions[1],)))
        with duckdb.connect(str(file), read_only=True) as connection:
            assert connection.execute("FROM orders").fetchall() == [(2,)]
        assert sorted(path.name for path in file.parent.glob("*.aside*")) == []
        if faulty.left > 0:
            break
    assert failed > 5


# ----------------------------------------------------------------------------------------------- odd paths


@pytest.mark.parametrize("name", ["it's", 'say "x"', "a*b", "[a]", "a[b]*c", "{a,b}", "x=y", "a b", "é%41#;", "$HOME"])
def test_a_folder_may_have_almost_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    storage = storage_in(folder)

    storage.present(Surface((version(storage, 1),)))

    for other in ("aXb", "aX", "a", "abXc"):  # what the name means as a pattern
        shutil.copytree(folder / "store", tmp_path / other / "store", dirs_exist_ok=True)
    with duckdb.connect(str(folder / "views" / "views.duckdb"), read_only=True) as connection:
        assert (
            connection.execute("FROM orders").fetchall() == connection.execute("FROM orders_at(1)").fetchall() == [(1,)]
        )


@pytest.mark.skipif(os.name == "nt", reason="the letters are not allowed there")
@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_where_no_program_could_open_the_file_the_run_says_so_and_all_else_works(
    workspace: Workspace, name: str
) -> None:
    root = workspace.root / name
    root.mkdir()
    workspace.root = root
    workspace.assets(SHOP)

    class Watching:
        def __init__(self) -> None:
            self.warnings: list[str] = []

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: None

        def warn(self, text: str) -> None:
            self.warnings.append(text)

    watching: Any = Watching()
    workspace.materialize(observer=watching).raise_for_status()

    assert any(f"`{name[1]}` in its path" in text for text in watching.warnings)
    assert workspace.project().read("total", as_="records") == [{"amount": 60}]
    assert workspace.project().sql("select sum(amount)::int as n from orders").table.to_pydict() == {"n": [60]}
