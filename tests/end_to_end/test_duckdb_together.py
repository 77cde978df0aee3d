"""Runs, readers and a `duckdb` shell on the same assets at the same time: no lock error, and every table is whole.

Every table checks itself: all its rows carry the round in which it was made, and there are as many as they say.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.timeout(600)]

ROUNDS = 2
TIMEOUT_S = 300
ASSETS = """
from pathlib import Path

import pyarrow as pa
from assetflow import Context, asset, source

here = Path(__file__).parent
sources = {env: source(f"round_{env}", path=f"round_{env}.csv") for env in ("dev", "trial")}
round_dev, round_trial = sources["dev"], sources["trial"]

def make(number):
    @asset(key=f"shop.part_{number}", io="duckdb")
    def part(round_dev: pa.Table, round_trial: pa.Table, context: Context) -> pa.Table:
        table = round_dev if context.env == "dev" else round_trial
        (made,) = table["round"].to_pylist()
        rows = 1000 + 100 * made + number
        return pa.table({"round": [made] * rows, "rows": [rows] * rows, "part": [number] * rows})
    return part

parts = [make(number) for number in range(8)]
"""

CHECK = "SELECT count(DISTINCT (round, rows, part)), min(rows), count(*) FROM {}"
"""One, and twice the same number, for a table that is whole."""

SHELL = """
import sys, time
import duckdb
file, mode, check = sys.argv[1:4]
names = [f"shop.part_{number}" for number in range(8)]
def look(connection):
    for name in names:
        kinds, rows, count = connection.execute(check.format(name)).fetchall()[0]
        assert (kinds, rows) == (1, count), (name, kinds, rows, count)
held = duckdb.connect(file, read_only=mode == "holds reading") if mode.startswith("holds") else None
print("open", flush=True)
looked = 0
while not sys.stdin.closed:
    if held is not None:
        look(held)
        looked += 1
    try:
        with duckdb.connect(file, read_only=True) as connection:
            look(connection)
        looked += 1
    except duckdb.Error as error:
        if "lock on file" not in str(error) and "different configuration" not in str(error):
            raise
    time.sleep(0.05)
    import select
    if select.select([sys.stdin], [], [], 0)[0]:
        break
print(looked, flush=True)
"""


@pytest.fixture
def shop(folder: Folder) -> Folder:
    folder.write("assets.py", ASSETS)
    for env in ("dev", "trial"):
        set_round(folder, env, 0)
    return folder


def set_round(folder: Folder, env: str, number: int) -> None:
    folder.write(f"round_{env}.csv", f"round\n{number}\n")


def configure(folder: Folder, mode: str) -> Path:
    folder.write("assetflow.toml", f'modules = ["assets"]\nduckdb = "{mode}"\nworkers = 8\n')
    return folder.path / ".assetflow" / ("views/dev.duckdb" if mode == "views" else "warehouse.duckdb")


@contextmanager
def a_shell(file: Path, mode: str) -> Iterator[None]:
    """A program that looks at the tables all the time; it must see whole tables, and see them."""
    command = [sys.executable, "-c", SHELL, str(file), mode, CHECK]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    try:
        yield
    finally:
        out, err = process.communicate("end\n", timeout=60)
    assert process.returncode == 0, err
    assert int(out) > 0


def runs(folder: Folder, env: str, problems: list[str], both: threading.Barrier) -> None:
    """The rounds of one environment. Both begin together: a run that reads what the other's next round writes fails."""
    for number in range(1, ROUNDS + 1):
        set_round(folder, env, number)
        both.wait()
        done = folder.run("-e", env, "materialize", "--force", timeout=TIMEOUT_S)
        if done.code:
            problems.append(f"materialize in {env}: exit {done.code}\n{done.out}{done.err}")
        both.wait()


def reads(folder: Folder, is_over: threading.Event, problems: list[str]) -> None:
    number = 0
    while not is_over.is_set():
        number = (number + 1) % 8
        done = folder.run("sql", "--json", CHECK.format(f"shop.part_{number}"))
        if done.code or [row[0] for row in rows_of(done.data)] != [1]:
            problems.append(f"sql: exit {done.code}\n{done.out}{done.err}")
        done = folder.run("preview", f"shop.part_{number}", "--rows", "1")
        if done.code:
            problems.append(f"preview: exit {done.code}\n{done.out}{done.err}")


def rows_of(data: dict[str, list[object]]) -> list[list[object]]:
    found = data["rows"]
    return [list(row.values()) if isinstance(row, dict) else row for row in found]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mode", "shell"),
    [("views", "holds reading"), ("views", "holds writing"), ("views", "moments"), ("native", "moments")],
)
def test_two_runs_a_reader_and_an_open_shell_do_not_meet(shop: Folder, mode: str, shell: str) -> None:
    file = configure(shop, mode)
    for env in ("dev", "trial"):
        done = shop.run("-e", env, "materialize")
        assert done.code == 0, done.err
    problems: list[str] = []
    is_over = threading.Event()

    def work(action: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=action, args=arguments)
        thread.start()
        return thread

    with a_shell(file, shell):
        reader = work(reads, shop, is_over, problems)
        both = threading.Barrier(2, timeout=TIMEOUT_S)
        writers = [work(runs, shop, env, problems, both) for env in ("dev", "trial")]
        for thread in writers:
            thread.join()
        is_over.set()
        reader.join()

    assert problems == []
    with duckdb.connect(str(file), read_only=True) as connection:
        for number in range(8):
            rows = 1000 + 100 * ROUNDS + number
            assert connection.execute(CHECK.format(f"shop.part_{number}")).fetchall() == [(1, rows, rows)]


def test_a_program_that_holds_the_warehouse_is_named_and_nothing_is_lost(shop: Folder) -> None:
    file = configure(shop, "native")
    assert shop.run("materialize").code == 0
    set_round(shop, "dev", 1)
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"

        read = shop.run("preview", "shop.part_0")
        run = shop.run("materialize", "shop.part_0", "--json")

        holder.stdin.close()
        holder.wait(timeout=30)

    assert (read.code, "AF410" in read.err, f"process {holder.pid}" in read.err) == (75, True, True), read.err
    assert run.code == 1
    assert "AF410" in json.dumps(run.out + run.err)
    assert f"process {holder.pid}" in run.out + run.err
    before = json.loads(shop.run("preview", "shop.part_0", "--rows", "1", "--json").out)
    assert "1000" in json.dumps(before)
    assert shop.run("materialize").code == 0
    assert shop.run("sql", CHECK.format("shop.part_0")).code == 0
