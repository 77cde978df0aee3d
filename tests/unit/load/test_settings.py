# ruff: noqa: E501 - messages are written out as the user reads them
"""Settings: where they come from, who wins, and what a mistake looks like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assetflow.errors import ProjectLoadError, ProjectNotFound
from assetflow.load.sealed import sealed, unsealed
from assetflow.load.settings import find_project, read_settings, settings_from_json, settings_to_json
from assetflow.model.policies import Retry

REPOSITORY = Path(__file__).parents[3]


def project(root: Path, text: str = "", local: str | None = None) -> Path:
    (root / "assetflow.toml").write_text(text)
    (root / "assets.py").write_text("")
    if local is not None:
        (root / "assetflow.local.toml").write_text(local)
    return root


def texts(root: Path, overrides: dict[str, str] | None = None, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ProjectLoadError) as raised:
        read_settings(root, overrides or {}, environment or {})
    return [str(problem) for problem in raised.value.problems]


def test_project_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_project(tmp_path / "a" / "b") == tmp_path / "assetflow.toml"


def test_pyproject_counts_only_with_the_table(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.assetflow]\nio = 'duckdb'\n")
    (inner / "pyproject.toml").write_text("[tool.other]\nassetflow = 1\n")
    assert find_project(inner) == tmp_path / "pyproject.toml"
    (tmp_path / "assets.py").write_text("")

    settings = read_settings(inner, environment={})

    assert (settings.io, settings.origin("io")) == ("duckdb", "pyproject.toml:2")


def test_no_project_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFound) as raised:
        find_project(tmp_path)
    assert raised.value.what == f"no project in {tmp_path}, nor in a folder above it"
    assert "assetflow init DIR" in str(raised.value.fix)


def test_settings_in_two_files_are_refused(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.assetflow]\n")
    with pytest.raises(ProjectLoadError, match=r"two files"):
        find_project(tmp_path)


def test_empty_file_gives_defaults(tmp_path: Path) -> None:
    settings = read_settings(project(tmp_path), environment={})
    assert (settings.name, settings.modules, settings.io) == (tmp_path.name, ("assets",), "parquet")
    assert settings.catalog_path == tmp_path / ".assetflow" / "catalog.db"
    assert settings.storage_path == tmp_path / ".assetflow" / "data"
    assert (settings.env, settings.executor, settings.origin("env")) == ("dev", "threads", "default")


def test_flag_beats_variable_beats_local_file_beats_project_file(tmp_path: Path) -> None:
    root = project(
        tmp_path, "workers = 1\nenv = 'a'\nio = 'duckdb'\ntz = 'UTC'\n", local="workers = 2\nenv = 'b'\nio='parquet'\n"
    )

    settings = read_settings(root, {"workers": "4"}, {"ASSETFLOW_WORKERS": "3", "ASSETFLOW_ENV": "c"})

    assert (settings.workers, settings.env, settings.io, settings.tz) == (4, "c", "parquet", "UTC")
    found = [settings.origin(key) for key in ("workers", "env", "io", "tz", "storage")]
    assert found == ["--workers", "$ASSETFLOW_ENV", "assetflow.local.toml:3", "assetflow.toml:4", "default"]


def test_tables_are_merged_key_by_key(tmp_path: Path) -> None:
    root = project(tmp_path, '[config.rates]\nbase = "GBP"\nday = 2024-01-31\n', local='[config.rates]\nbase = "EUR"\n')

    settings = read_settings(root, environment={})

    assert settings.config == {"rates": {"base": "EUR", "day": "2024-01-31"}}
    assert settings.origin("config", "rates", "base") == "assetflow.local.toml:2"
    assert settings.origin("config", "rates", "day") == "assetflow.toml:3"


def test_defaults_and_groups_become_policies(tmp_path: Path) -> None:
    text = '[defaults]\nretry = 2\n[groups.gold]\nretry = {times = 3, delay = "30s"}\nowners = ["a@b"]\n'

    settings = read_settings(project(tmp_path, text), environment={})

    assert settings.defaults.retry == Retry(2)
    assert settings.groups["gold"].retry == Retry(3, delay=30)
    assert settings.groups["gold"].owners == ("a@b",)


def test_a_default_retry_says_all_that_a_retry_can_but_its_errors(tmp_path: Path) -> None:
    text = 'defaults.retry = {times = 4, delay = "1s", backoff = 2, max_delay = "1m", jitter = "10%"}\n'
    root = project(tmp_path, text)
    expected = Retry(4, delay=1, backoff=2, max_delay=60, jitter=0.1)

    settings = read_settings(root, environment={})

    assert settings.defaults.retry == expected
    assert read_settings(root, environment={}).defaults.retry == expected  # from the cache
    assert settings_from_json(json.loads(json.dumps(settings_to_json(settings)))).defaults.retry == expected


def test_a_jitter_that_is_none_is_named(tmp_path: Path) -> None:
    root = project(tmp_path, 'defaults.retry = {times = 4, jitter = "much"}\n')

    assert texts(root) == [
        '`defaults.retry.jitter`: `much` is not a jitter; write true, or a share of the delay such as "10%"\n'
        "  at assetflow.toml:1"
    ]


def test_all_problems_come_together_in_the_order_of_lines(tmp_path: Path) -> None:
    root = project(tmp_path, 'io = "parqet"\nworkers = 0\nexector = "x"\n\n[defaults]\nretry = {dely = "3s"}\n')

    assert texts(root, environment={"ASSETFLOW_CATALOG": "mysql://x"}) == [
        "$ASSETFLOW_CATALOG: `mysql://x` is not a catalog; write sqlite:///PATH, such as sqlite:///.assetflow/catalog.db",
        '`io` is "parqet", but takes "parquet" or "duckdb"\n  did you mean `parquet`?\n  at assetflow.toml:1',
        "`workers` is 0: input should be greater than or equal to 1\n  at assetflow.toml:2",
        "unknown key `exector`\n  did you mean `executor`?\n  at assetflow.toml:3\n  help: known keys: name, modules, io, "
        "storage, catalog, duckdb, hive, warehouse, executor, workers, stop_grace, env, tz, allow_pickle, hash, "
        "discover, log_limit, retention, defaults, groups, config, resources, pools, selections, jobs, alerts",
        "unknown key `dely` in `defaults.retry`\n  did you mean `delay`?\n  at assetflow.toml:6\n  help: known keys in "
        "`defaults.retry`: times, delay, backoff, max_delay, jitter",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("io = \n", "`assetflow.toml` is not TOML: Invalid value\n  at assetflow.toml:1"),
        ('tz = "Mars/Base"', '`tz`: `Mars/Base` is not a time zone; write "Europe/London", "UTC" or "local"\n  at assetflow.toml:1'),
        ('storage = "s3://b"', "`storage`: `s3://b` is not a path; write a folder or file, relative to the project or absolute\n  at assetflow.toml:1"),
        ('env = "my env"', "`env`: environment `my env` is not a legal name\n  at assetflow.toml:1"),
        ('[defaults]\nretry = {delay = "soon"}', "`defaults.retry.delay`: `soon` is not a duration; write 30s, 10m, 24h or 7d\n  at assetflow.toml:2"),
        ("[tool.assetflow]\n", "unknown key `tool`\n  at assetflow.toml:1\n  help: in `assetflow.toml` the keys stand at the top, without [tool.assetflow]"),
    ],
)  # fmt: skip
def test_mistake_is_said_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert texts(project(tmp_path, text)) == [expected]


def test_module_is_guessed_when_only_one_uses_assetflow(tmp_path: Path) -> None:
    (tmp_path / "assetflow.toml").write_text("")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.py").write_text("from assetflow import asset")
    (tmp_path / "other.py").write_text("x = 1")
    assert read_settings(tmp_path, environment={}).modules == ("shop",)
    (tmp_path / "job.py").write_text("import assetflow")
    (tmp_path / "test_shop.py").write_text("import assetflow")
    assert read_settings(tmp_path, environment={}).modules == ("shop",)
    (tmp_path / "depot").mkdir()
    (tmp_path / "depot" / "__init__.py").write_text("import assetflow")

    assert texts(tmp_path) == [
        "several modules here could hold the assets\n  found: `depot`, `job`, `shop`\n"
        '  help: say which in the project file, such as modules = ["depot"]'
    ]


def test_unchanged_project_imports_neither_tomllib_nor_pydantic(tmp_path: Path) -> None:
    root = project(tmp_path, 'io = "duckdb"\n')
    read_settings(root, environment={})
    code = (
        "import sys; from pathlib import Path; from assetflow.load.settings import read_settings;"
        "print(read_settings(Path(sys.argv[1]), environment={}).io, *({'tomllib', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(root)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["duckdb"]


def test_change_of_the_file_is_seen_at_once(tmp_path: Path) -> None:
    for number in (3, 4, 3):
        assert read_settings(project(tmp_path, f"workers = {number}\n"), environment={}).workers == number


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"format": 1, "entries": []}', b'{"format": 1, "entries": {"x": 3}}', b"[[["]
)
def test_damaged_cache_is_ignored(tmp_path: Path, damage: bytes) -> None:
    root = project(tmp_path, "workers = 3\n")
    read_settings(root, environment={})
    cache = root / ".assetflow" / "cache" / "settings.json"
    assert json.loads(unsealed(cache.read_bytes()))["entries"]
    cache.write_bytes(damage)
    assert read_settings(root, environment={}).workers == 3
    cache.write_bytes(sealed(damage))
    assert read_settings(root, environment={}).workers == 3


def test_a_flipped_bit_in_the_cache_is_no_setting(tmp_path: Path) -> None:
    root = project(tmp_path, "workers = 3\n")
    read_settings(root, environment={})
    cache = root / ".assetflow" / "cache" / "settings.json"
    content = cache.read_bytes()
    for at in range(0, len(content), 7):
        cache.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert read_settings(root, environment={}).workers == 3


def test_the_cache_holds_no_secret_of_the_files(tmp_path: Path) -> None:
    root = project(tmp_path, '[config.orders]\nkey = "hidden-a"\n[alerts.team]\nurl = "json://hidden-b"\n')
    local = root / "assetflow.local.toml"
    local.write_text('[resources.Db]\npassword = "hidden-c"\nports = [1, "hidden-d"]\n')

    first = read_settings(root, environment={})
    again = read_settings(root, environment={})

    assert first == again
    assert again.resources == {"Db": {"password": "hidden-c", "ports": [1, "hidden-d"]}}
    assert again.config == {"orders": {"key": "hidden-a"}}
    for path in (root / ".assetflow").rglob("*"):
        assert path.is_dir() or b"hidden" not in path.read_bytes(), path


def test_settings_from_the_cache_are_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project(tmp_path, 'workers = 3\ntz = "UTC"\n[config.orders]\nday = 2026-01-05\n')
    first = read_settings(root, {"env": "prod"}, {})
    monkeypatch.setitem(sys.modules, "assetflow.load.schema", None)  # what reads the files is not there

    assert read_settings(root, {"env": "prod"}, {}) == first


def test_cache_that_cannot_be_written_is_ignored(tmp_path: Path) -> None:
    root = project(tmp_path, "workers = 3\n")
    (root / ".assetflow").write_text("a file where the folder should be")
    assert read_settings(root, environment={}).workers == 3


def test_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    text = '[defaults]\nretry = {times = 3, delay = "30s"}\ntags = ["x"]\n[groups.g]\nowners = ["a@b"]\n[config.a]\nb = 1\n'
    settings = read_settings(project(tmp_path, text), {"env": "prod"}, {})
    assert settings_from_json(json.loads(json.dumps(settings_to_json(settings)))) == settings
