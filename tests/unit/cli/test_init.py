from __future__ import annotations

from pathlib import Path

import pytest

from assetflow.cli.starting import SUFFIX, TEMPLATE


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix().removesuffix(SUFFIX): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".assetflow" not in path.parts
    }


def test_a_new_project_is_the_template(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    screen = cli("init", "shop", "--json")

    assert files(tmp_path / "shop") == files(TEMPLATE)
    assert screen.document["data"]["created"] == sorted(files(TEMPLATE))


def test_a_new_project_runs_at_once(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli("init")
    screen = cli("materialize", "--json")

    assert screen.code == 0
    assert screen.document["data"]["counts"] == {"materialized": 6}
    assert cli("plan").out.startswith(" nothing to do · all 6 current")
    checks = [check for one in screen.document["data"]["outcomes"] for check in one["checks"]]
    assert len(checks) == 7
    assert all(check["passed"] for check in checks)


def test_what_exists_is_never_changed(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets.py").write_text("# mine\n")
    (tmp_path / "notes.txt").write_text("mine too\n")
    screen = cli("init", "--json")

    assert (tmp_path / "assets.py").read_text() == "# mine\n"
    assert (tmp_path / "notes.txt").read_text() == "mine too\n"
    assert screen.document["data"]["kept"] == ["assets.py"]
    assert "assetflow.toml" in screen.document["data"]["created"]


def test_settings_in_pyproject_are_not_joined_by_a_second_file(cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.assetflow]\nmodules = ["assets"]\n')
    screen = cli("init", "--json")

    assert "assetflow.toml" in screen.document["data"]["kept"]
    assert cli("plan").code == 0


def test_a_project_in_the_current_folder_has_its_name(cli, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "bakery").mkdir()
    monkeypatch.chdir(tmp_path / "bakery")

    assert cli("init").out.startswith(" bakery · 4 files created")


def test_a_second_init_does_not_welcome_as_if_it_were_new(cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli("init", "shop")
    screen = cli("init", "shop")

    assert screen.code == 0
    assert "nothing created: all 4 files were there before" in screen.out
    assert "assetflow materialize" not in screen.out


def test_a_file_is_not_a_folder(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").write_text("")
    screen = cli("init", "shop")

    assert screen.code == 2
    assert "`shop` is a file" in screen.err
