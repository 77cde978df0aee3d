"""Files that arrive: what is new is told by paths and contents, whatever their names and times are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from assetflow.automation.arriving import files_arrived
from assetflow.model.automation import RunRequest, SensorContext, SensorDefinition

OLD = time.time() - 3600


class Landing:
    """A folder, and a sensor over it that keeps its cursor."""

    def __init__(self, root: Path, sensor: SensorDefinition) -> None:
        self.root = root
        self._sensor = cast("Callable[[SensorContext], list[RunRequest]]", sensor.function)
        self._cursor: str | None = None
        (root / "landing").mkdir(exist_ok=True)

    def put(self, name: str, text: str, at: float = OLD) -> Path:
        path = self.root / "landing" / name
        path.write_text(text)
        os.utime(path, (at, at))
        return path

    def look(self, after_s: float = 0.0) -> list[RunRequest]:
        context = SensorContext(self._cursor, time.time() + after_s, self.root)
        found = self._sensor(context)
        self._cursor = context.cursor
        return found


def orders(root: Path) -> Landing:
    return Landing(root, files_arrived("landing/*.csv", "orders+"))


def test_new_files_are_one_request_and_asked_for_once(tmp_path: Path) -> None:
    landing = orders(tmp_path)
    assert landing.look() == []
    landing.put("a.csv", "1")
    landing.put("b.csv", "2")
    landing.put("c.txt", "no")

    assert landing.look() == [RunRequest("orders+")]
    assert landing.look() == []


def test_a_file_with_the_time_of_others_or_an_older_one_or_an_earlier_name_is_new(tmp_path: Path) -> None:
    landing = orders(tmp_path)
    landing.put("m.csv", "1")
    landing.look()
    landing.put("n.csv", "1")
    assert len(landing.look()) == 1
    landing.put("a.csv", "1", at=OLD - 1e6)
    assert len(landing.look()) == 1
    assert landing.look() == []


def test_replaced_content_is_new_with_size_and_time_as_before_and_a_touch_is_not(tmp_path: Path) -> None:
    landing = orders(tmp_path)
    path = landing.put("a.csv", "1,2")
    landing.look()
    landing.put("a.csv", "1,3")
    assert len(landing.look()) == 1

    os.utime(path, (OLD + 5, OLD + 5))
    assert landing.look() == []
    landing.put("a.csv", "1,2")
    assert len(landing.look()) == 1


def test_a_file_that_is_still_written_is_left_for_later(tmp_path: Path) -> None:
    landing = orders(tmp_path)
    landing.put("a.csv", "1", at=time.time())

    assert landing.look() == []
    assert len(landing.look(after_s=60)) == 1


def test_a_file_that_was_taken_away_is_forgotten(tmp_path: Path) -> None:
    landing = orders(tmp_path)
    path = landing.put("a.csv", "1")
    landing.look()
    path.unlink()
    assert landing.look() == []
    landing.put("a.csv", "1")
    assert len(landing.look()) == 1


def test_files_name_the_partitions_that_are_run(tmp_path: Path) -> None:
    def day(path: Path) -> str:
        return path.stem

    together = Landing(tmp_path, files_arrived(["landing/*.csv"], "days", partition=day))
    each = Landing(tmp_path, files_arrived("landing/*.csv", "days", partition=day, each=True))
    together.put("2026-01-02.csv", "1")
    together.put("2026-01-01.csv", "1")

    assert together.look() == [RunRequest("days", "2026-01-01,2026-01-02")]
    assert each.look() == [RunRequest("days", "2026-01-01"), RunRequest("days", "2026-01-02")]
