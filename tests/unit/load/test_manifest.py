"""The manifest: it stands while nothing changed, and never longer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assetflow.errors import BadConfig, ProjectLoadError, UnknownParameter
from assetflow.load.definitions import load_project
from assetflow.load.manifest import Manifest, manifest_content, read_manifest, write_manifest
from assetflow.load.refresh import refresh_in_child
from assetflow.load.settings import read_settings

Write = Callable[..., Path]
REPOSITORY = Path(__file__).parents[3]
RECORD = """
import sys
from pathlib import Path
from assetflow.load.definitions import load_project
from assetflow.load.manifest import write_manifest
from assetflow.load.settings import read_settings
settings = read_settings(Path(sys.argv[1]), environment={})
write_manifest(settings, load_project(settings))
"""
ONE = "from assetflow import *\n@asset\ndef one(): ...\n"


def record(root: Path) -> Manifest:
    settings = read_settings(root, environment={})
    return write_manifest(settings, load_project(settings))


def read(root: Path) -> Manifest | None:
    return read_manifest(read_settings(root, environment={}))


def age(*paths: Path) -> None:
    """Make files old enough that their stat alone is believed."""
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))


def test_manifest_gives_back_what_was_loaded(write: Write) -> None:
    root = write(assets=ONE)
    written = record(root)

    assert read(root) == written
    assert [spec.key for spec in written.specs] == ["one"]
    assert written.files == ("assets.py",)


def test_there_is_no_manifest_before_the_first_load(write: Write) -> None:
    assert read(write(assets=ONE)) is None


def test_a_report_written_beside_the_modules_leaves_it(write: Write) -> None:
    # pydantic looks for its plugins among the installed packages, and for that lists every folder of sys.path.
    root = write(
        assets="from assetflow import Config, asset\nclass Settings(Config):\n    level: int = 1\n"
        "@asset\ndef one(config: Settings): ...\n"
    )
    variables = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", RECORD, str(root)], env=variables, check=True)
    (root / "outbox").mkdir()

    assert read(root) is not None


def test_edit_new_module_and_removed_module_end_it(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop__a=ONE, shop__b="", helper="")
    record(root)
    assert read(root) is not None
    (root / "shop" / "c.py").write_text("")
    assert read(root) is None
    (root / "shop" / "c.py").unlink()
    assert read(root) is not None
    (root / "shop" / "b.py").unlink()
    assert read(root) is None
    (root / "shop" / "b.py").write_text("")
    assert read(root) is not None
    (root / "shop" / "a.py").write_text(ONE + "#")
    assert read(root) is None


def test_edit_of_same_size_and_time_just_after_recording_is_seen(write: Write) -> None:
    root = write(assets=ONE)
    record(root)
    stat = (root / "assets.py").stat()
    (root / "assets.py").write_text(ONE.replace("one", "two"))
    os.utime(root / "assets.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read(root) is None


def test_touch_without_a_change_keeps_it_and_is_remembered(write: Write) -> None:
    root = write(assets=ONE)
    record(root)
    age(root / "assets.py")
    cache = root / ".assetflow" / "cache" / "manifest.json"
    before = cache.read_bytes()

    assert read(root) is not None
    after = cache.read_bytes()
    assert after != before
    assert read(root) is not None
    assert cache.read_bytes() == after  # the second time the stat was enough


def test_helper_outside_the_named_modules_counts(write: Write) -> None:
    root = write('modules = ["assets"]\n', assets="import tax\n" + ONE, tax="RATE = 1\n")
    record(root)
    (root / "tax.py").write_text("RATE = 2\n")
    assert read(root) is None


def test_setting_that_the_load_depends_on_ends_it_and_another_does_not(write: Write) -> None:
    root = write("workers = 1\n", assets=ONE)
    record(root)
    (root / "assetflow.toml").write_text('workers = 2\nenv = "prod"\n')
    assert read(root) is not None
    (root / "assetflow.toml").write_text('io = "duckdb"\n')
    assert read(root) is None


def test_file_folder_and_variable_read_while_importing_count(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_REGION", "eu")
    root = write(
        assets="import os\nfrom pathlib import Path\nhere = Path(__file__).parent\n"
        "TEXT = (here / 'keys.txt').read_text()\nQUERIES = sorted((here / 'sql').iterdir())\n"
        "REGION = os.environ.get('SHOP_REGION')\n" + ONE
    )
    (root / "keys.txt").write_text("a")
    (root / "sql").mkdir()
    record(root)
    assert read(root) is not None
    assert "eu" not in (root / ".assetflow" / "cache" / "manifest.json").read_text()

    (root / "keys.txt").write_text("b")
    assert read(root) is None
    (root / "keys.txt").write_text("a")
    (root / "sql" / "new.sql").write_text("")
    assert read(root) is None
    (root / "sql" / "new.sql").unlink()
    assert read(root) is not None
    monkeypatch.setenv("SHOP_REGION", "us")
    assert read(root) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format": 1}', b"[]", b"null"])
@pytest.mark.parametrize("name", ["manifest.json", "manifest-specs.json"])
def test_damaged_manifest_is_no_manifest(write: Write, name: str, damage: bytes) -> None:
    root = write(assets=ONE)
    record(root)
    (root / ".assetflow" / "cache" / name).write_bytes(damage)
    assert read(root) is None


def test_the_specs_of_another_load_are_not_those_of_the_manifest(write: Write) -> None:
    root = write(assets=ONE)
    record(root)
    cache = root / ".assetflow" / "cache"
    earlier = (cache / "manifest-specs.json").read_bytes()
    record(root)
    (cache / "manifest-specs.json").write_bytes(earlier)  # as when a process dies between the two files
    assert read(root) is None


def test_what_a_manifest_holds_can_be_told_apart_without_reading_it(write: Write) -> None:
    root = write(assets=ONE)
    settings = read_settings(root, environment={})
    assert manifest_content(settings) is None
    written = record(root)
    assert manifest_content(settings) == written.content != record(root).content
    (root / "assets.py").write_text(ONE + "# edited\n")
    assert manifest_content(settings) is None


@pytest.mark.usefixtures("cold_loads")
def test_folder_that_cannot_be_written_is_no_error(write: Write) -> None:
    root = write(assets=ONE)
    (root / ".assetflow").write_text("")
    assert [spec.key for spec in record(root).specs] == ["one"]
    assert [spec.key for spec in refresh_in_child(read_settings(root, environment={})).specs] == ["one"]


def test_reading_the_manifest_imports_no_user_code_and_nothing_heavy(write: Write) -> None:
    root = write(assets=ONE)
    record(root)
    code = (
        "import sys; from pathlib import Path; from assetflow.load.settings import read_settings;"
        "from assetflow.load.manifest import read_manifest;"
        "assert read_manifest(read_settings(Path(sys.argv[1]), environment={}));"
        "heavy = {'assets', 'pydantic', 'pandas', 'tomllib', 'subprocess', 'assetflow.load.modules'};"
        "print(*(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.usefixtures("cold_loads")
def test_child_loads_and_keeps_its_output_to_itself(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    root = write(assets="import os\nprint('noise')\nos.system('echo noise')\n" + ONE)
    settings = read_settings(root, environment={})

    found = refresh_in_child(settings)

    assert [spec.key for spec in found.specs] == ["one"]
    assert read_manifest(settings) == found
    assert "assets" not in sys.modules or sys.modules["assets"].__file__ != str(root / "assets.py")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("cold_loads")
def test_problems_come_back_from_the_child_as_they_are(write: Write) -> None:
    root = write("[config.x]\na = 1\n", assets=ONE + "@asset\ndef two(oen): ...\n")
    settings = read_settings(root, environment={})
    with pytest.raises(ProjectLoadError) as direct:
        load_project(settings)
    with pytest.raises(ProjectLoadError) as raised:
        refresh_in_child(settings)
    assert [type(one) for one in raised.value.problems] == [BadConfig, UnknownParameter]
    assert list(map(str, raised.value.problems)) == list(map(str, direct.value.problems))
    assert raised.value.problems[1].where == direct.value.problems[1].where


@pytest.mark.usefixtures("cold_loads")
def test_module_that_hangs_is_named_with_its_line(write: Write) -> None:
    root = write(assets="import slow\n" + ONE, slow="import threading\n\nthreading.Event().wait()\n")
    with pytest.raises(ProjectLoadError) as raised:
        refresh_in_child(read_settings(root, environment={}), timeout_s=1.5)
    assert [str(one) for one in raised.value.problems] == [
        "module `slow.py` was still being imported after 1.5 s\n  it was here, innermost first:\n"
        "  slow.py:3 in <module>\n  assets.py:1 in <module>\n  at slow.py:3\n"
        "  help: move slow work from the module into an asset function"
    ]


@pytest.mark.usefixtures("cold_loads")
def test_module_that_kills_the_process_is_a_problem_with_its_last_words(write: Write) -> None:
    root = write(assets="import os\nprint('goodbye', flush=True)\nos.abort()\n")
    with pytest.raises(ProjectLoadError) as raised:
        refresh_in_child(read_settings(root, environment={}))
    assert str(raised.value.problems[0]).splitlines()[:2] == [
        "the process that imported the project died (signal 6)",
        "  goodbye",
    ]


def test_thousand_assets_are_read_quickly(write: Write) -> None:
    """Thirty milliseconds is the aim; the limit here leaves room for a busy machine."""
    import time

    files = {
        f"assets__m{number:02}": "from assetflow import *\n"
        + "".join(f"@asset(owners=['a@b'])\ndef a{number}_{n}(): ...\n" for n in range(20))
        for number in range(50)
    }
    root = write(**files)
    record(root)
    age(*(root / "assets").glob("*.py"))
    assert read(root) is not None
    times: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        assert read(root) is not None
        times.append(time.perf_counter() - started)
    assert min(times) < 0.1


def test_loading_leaves_the_running_script_in_place(write: Write) -> None:
    root = write(assets="import decimal\n" + ONE)
    script = root / "job.py"
    script.write_text(
        "import pickle, sys\nimport assetflow as af\nclass Kept: pass\n"
        "af.Project.load().materialize(['one']).raise_for_status()\n"
        "assert sys.modules['__main__'].Kept is Kept\npickle.dumps(Kept())\n"
    )

    subprocess.run(
        [sys.executable, str(script)], cwd=root, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, check=True
    )


def test_a_module_that_only_a_function_imports_counts(write: Write) -> None:
    root = write(assets="from assetflow import asset\n@asset\ndef one():\n    import late\n    return late.f()\n")
    (root / "late.py").write_text("def f(): return 1\n")
    record(root)
    age(*root.glob("*.py"))
    assert read(root) is not None
    (root / "late.py").write_text("def f(): return 2\n")

    assert read(root) is None


def test_a_file_that_a_module_tries_to_open_may_be_missing(write: Write) -> None:
    root = write(assets="try:\n    open(__file__ + '.local').read()\nexcept FileNotFoundError: pass\n" + ONE)
    record(root)
    assert read(root) is not None
    (root / "assets.py.local").write_text("now it is there")

    assert read(root) is None


def test_a_variable_that_an_import_sets_is_recorded_as_it_was_before(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODE", raising=False)
    root = write(assets="import os\nMODE = os.environ.get('MODE', '')\nos.environ['MODE'] = 'prod'\n" + ONE)
    record(root)
    monkeypatch.delenv("MODE")
    assert read(root) is not None
    monkeypatch.setenv("MODE", "prod")

    assert read(root) is None


def test_what_users_pass_comes_back_as_it_was(write: Write) -> None:
    """Also floats that are no numbers, where texts belong, and texts that are no Unicode."""
    root = write(
        assets="""
            from assetflow import *
            raw = source("raw", path="raw.csv", nulls=["-", "ü"])

            @asset(tags={"half": "\\ud800", "top": float("inf")}, freshness=Freshness(within="90m"), description="ü")
            def one(raw: list): ...
        """
    )
    written = record(root)

    assert read(root) == written
    assert written.specs[1].tags == {"half": "\ud800", "top": float("inf")}
