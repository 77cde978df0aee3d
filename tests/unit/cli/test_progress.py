from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, strategies as st

from assetflow.cli.progress import HEARTBEAT_S, JsonWatcher, LiveWatcher, PlainWatcher, Watcher, watcher_for
from assetflow.cli.render import Screen
from assetflow.cli.render_current import no_op_line
from assetflow.cli.render_run import Running, live_lines, outcome_line, summary_line
from assetflow.cli.render_waiting import Waiting, waiting_lines
from assetflow.cli.text import cells, flat
from assetflow.model.keys import AssetKey
from assetflow.plan.planner import Plan
from assetflow.run.outcome import NextTry, RunResult, StepError, StepOutcome
from assetflow.run.reports import Progressed

ORDERS, REPORT = AssetKey("orders"), AssetKey("report")
EMPTY = Plan("dev", "", (), {})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


def streams() -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Screen(out, err), out, err


def result(*outcomes: StepOutcome, **more: object) -> RunResult:
    return RunResult(42, "dev", {o.asset: o for o in outcomes}, 9, 4.2, 38.0, **more)  # type: ignore[arg-type]


def test_plain_progress_is_one_line_for_each_event() -> None:
    screen, out, err = streams()
    watcher = PlainWatcher(screen, Clock())
    watcher.run_started(42, EMPTY, 4)
    watcher.step_started(ORDERS, ())
    watcher.step_finished(StepOutcome(ORDERS, "materialized", 18, 9214, 421_888, {"compute": 1.8}))
    watcher.step_finished(StepOutcome(REPORT, "failed", error=StepError("AF160", "ValueError", 'it\'s "bad"\nmore')))
    watcher.run_finished(result(StepOutcome(ORDERS, "materialized")))

    assert out.getvalue() == ""
    assert err.getvalue().splitlines() == [
        "2023-11-14T22:13:20Z run=42 start planned=0 current=0 workers=4 env=dev",
        "2023-11-14T22:13:20Z run=42 asset=orders status=materialized version=v18 rows=9214 bytes=421888 secs=1.8",
        '2023-11-14T22:13:20Z run=42 asset=report status=failed error="ValueError: it\'s \\"bad\\""',
        "2023-11-14T22:13:20Z run=42 end ok=true materialized=1 current=9 secs=4.2",
    ]


def test_what_waits_is_told_plainly_and_as_events() -> None:
    screen, out, err = streams()
    again = NextTry(2, 4, 3.1, StepError("AF160", "OSError", "gone\nmore"))
    for watcher in (PlainWatcher(screen, Clock()), JsonWatcher(screen, Clock())):
        watcher.run_started(42, EMPTY, 4)
        watcher.retrying(ORDERS, again)
        watcher.waiting(REPORT, "for pool warehouse (run #41)")

    assert err.getvalue().splitlines()[1:] == [
        '2023-11-14T22:13:20Z run=42 asset=orders status=retrying attempt=2/4 in_secs=3.1 error="OSError: gone"',
        '2023-11-14T22:13:20Z run=42 asset=report status=waiting reason="for pool warehouse (run #41)"',
    ]
    events = [json.loads(line) for line in out.getvalue().splitlines()[1:]]
    assert [(event["type"], event["asset"]) for event in events] == [
        ("asset_retrying", "orders"), ("asset_waiting", "report"),
    ]  # fmt: skip
    assert (events[0]["attempt"], events[0]["of"], events[0]["wait_s"]) == (2, 4, 3.1)
    assert events[0]["error"]["type"] == "OSError"


def test_the_live_view_shows_below_what_runs_what_waits() -> None:
    again = NextTry(2, 4, 3.1, StepError("AF160", "OSError", "gone"))
    waiting = [Waiting("orders", until=103.1, again=again), *(Waiting(f"a{n}", "for pool db") for n in range(5))]

    lines = [flat(line).rstrip() for line in waiting_lines(waiting, 100.0, 80)]

    assert lines == [
        " · orders  attempt 2 of 4 in 3.1 s   OSError: gone",
        " · a0      waiting for pool db",
        " · a1      waiting for pool db",
        " · a2      waiting for pool db",
        "   … 2 more waiting",
    ]
    assert flat(waiting_lines(waiting, 105.0, 80)[0]).startswith(" · orders  attempt 2 of 4 at once")


def test_a_silent_run_gives_signs_of_life() -> None:
    screen, _, err = streams()
    clock = Clock()
    watcher = PlainWatcher(screen, clock)
    watcher.run_started(42, EMPTY, 4)
    watcher.step_started(ORDERS, ())
    clock.now += HEARTBEAT_S - 1
    watcher.tick()
    assert err.getvalue().count("\n") == 1
    clock.now += 1
    watcher.tick()
    watcher.tick()

    assert err.getvalue().splitlines()[1:] == ["2023-11-14T22:13:50Z run=42 asset=orders status=running secs=30.0"]


def test_a_sign_of_life_says_how_far_an_asset_is() -> None:
    screen, _, err = streams()
    clock = Clock()
    watcher = PlainWatcher(screen, clock)
    watcher.run_started(42, EMPTY, 4)
    watcher.step_started(ORDERS, ())
    watcher.step_started(REPORT, ())
    watcher.progressed(ORDERS, Progressed("orders", 1, 5.0, 8.0, "cohort 5"))
    watcher.progressed(REPORT, Progressed("report", 1, 12_345.0))
    clock.now += HEARTBEAT_S
    watcher.tick()

    assert err.getvalue().splitlines()[1:] == [
        '2023-11-14T22:13:50Z run=42 asset=orders status=running secs=30.0 progress=62% message="cohort 5"',
        "2023-11-14T22:13:50Z run=42 asset=report status=running secs=30.0 done=12345",
    ]


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (
            Running("fit", 5.0, 99.0, Progressed("fit", 1, 5, 8, "cohort 5/8")),
            "━━━━━━━━━━━───────  62 %    5.0 s  eta 3.0 s  cohort 5/8",
        ),
        (Running("fit", 5.0, 10.0), "━━━━━━━━━─────────    5.0 s  eta 5.0 s  (last time 10 s)"),
        (Running("fit", 12.0, 10.0), "━━━━━━━━━━━━━━━━━━     12 s  (last time 10 s)"),
        (Running("fit", 5.0, None, Progressed("fit", 1, 12_000)), "──────────────────  12,000 done    5.0 s"),
        (Running("fit", 5.0, None, Progressed("fit", 1, 0, 8)), "──────────────────  0 %    5.0 s"),
        (Running("fit", 5.0), "──────────────────    5.0 s"),
    ],
)  # fmt: skip
def test_a_running_line_says_how_far_it_is_and_how_long_it_takes(running: Running, words: str) -> None:
    line, _ = live_lines(title="run #1", running=[running], done=1, total=9, elapsed_s=3.0, size_of_screen=(200, 24))

    assert " ".join(flat(line).split()) == " ".join(f"▶ fit {words}".split())


def test_json_progress_has_an_event_for_it() -> None:
    screen, out, _ = streams()
    watcher = JsonWatcher(screen, Clock())
    watcher.progressed(ORDERS, Progressed("orders", 2, 5.0, 8.0, "cohort 5"))

    event = json.loads(out.getvalue())
    assert {name: event[name] for name in ("type", "asset", "attempt", "done", "total", "message")} == {
        "type": "asset_progress", "asset": "orders", "attempt": 2, "done": 5.0, "total": 8.0, "message": "cohort 5",
    }  # fmt: skip


def test_live_progress_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    moments = iter(range(100, 1000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(moments)))  # every call is a frame of its own
    err = Terminal()
    watcher = LiveWatcher(Screen(io.StringIO(), err, color="never"))
    watcher.run_started(42, EMPTY, 4)
    watcher.step_started(ORDERS, ())
    watcher.progressed(ORDERS, Progressed("orders", 1, 5.0, 8.0, "cohort 5"))
    assert "62 %" in err.getvalue()
    watcher.step_finished(StepOutcome(ORDERS, "failed"))
    watcher.step_started(ORDERS, ())
    watcher.run_finished(result())

    assert "62 %" not in err.getvalue().rpartition("▶ orders")[2]


def test_json_progress_is_on_stdout() -> None:
    screen, out, err = streams()
    watcher = JsonWatcher(screen, Clock())
    watcher.run_started(42, EMPTY, 4)
    watcher.step_finished(StepOutcome(ORDERS, "unchanged", 3))

    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(event["seq"], event["type"], event["run"], event["ts"]) for event in events] == [
        (1, "run_started", 42, "2023-11-14T22:13:20.250Z"),
        (2, "asset_unchanged", 42, "2023-11-14T22:13:20.250Z"),
    ]
    assert err.getvalue() == ""


def test_live_progress_keeps_a_line_for_each_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    err = Terminal()
    watcher = LiveWatcher(Screen(io.StringIO(), err, color="never"))
    watcher.run_started(42, EMPTY, 4)
    watcher.step_started(ORDERS, ())
    watcher.step_finished(StepOutcome(ORDERS, "materialized", 18, 9214, 421_888, {"compute": 1.8}))
    watcher.warn("a warning")
    watcher.run_finished(result())

    assert "✓ orders" in err.getvalue()
    assert "warning: a warning" in err.getvalue()
    assert "run #42" in err.getvalue()


def test_an_asset_that_has_finished_is_not_drawn_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("time.monotonic", lambda: 100.0)  # all within one frame
    err = Terminal()
    watcher = LiveWatcher(Screen(io.StringIO(), err, color="never"))
    watcher.run_started(42, EMPTY, 4)
    watcher.step_started(ORDERS, ())
    watcher.step_started(REPORT, ())
    watcher.step_finished(StepOutcome(ORDERS, "materialized", 18))

    after = err.getvalue().rpartition("✓ orders")[2]
    assert "▶ orders" not in after
    assert "▶ report" in after


@given(st.integers(0, 300), st.integers(20, 200), st.integers(5, 60))
def test_the_live_block_fits_on_the_screen(amount: int, width: int, height: int) -> None:
    said = Progressed("fit", 1, 5.0, 8.0, "fitting cohort 5/8, which is a long message " * 3)
    running = [Running(f"asset_{n}", 1.0 * n, 2.0 if n % 2 else None, said if n % 3 else None) for n in range(amount)]
    lines = live_lines(title="run #1", running=running, done=1, total=9, elapsed_s=3.0, size_of_screen=(width, height))

    assert len(lines) <= max(3, height // 2)
    assert all(cells(flat(line)) < width for line in lines)


@pytest.mark.parametrize(
    ("choice", "err", "environment", "kind"),
    [
        ("auto", io.StringIO(), {}, PlainWatcher),
        ("auto", Terminal(), {}, LiveWatcher),
        ("auto", Terminal(), {"CI": "true"}, PlainWatcher),
        ("auto", Terminal(), {"TERM": "dumb"}, PlainWatcher),
        ("rich", io.StringIO(), {}, LiveWatcher),
        ("jsonl", Terminal(), {}, JsonWatcher),
        ("none", Terminal(), {}, Watcher),
        ("summary", Terminal(), {}, Watcher),
    ],
)
def test_who_watches(monkeypatch, choice: str, err: io.StringIO, environment: dict[str, str], kind: type) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert type(watcher_for(choice, Screen(io.StringIO(), err))) is kind


def test_the_line_for_nothing_to_do() -> None:
    assert flat(no_op_line(14, 0.038, 52)) == " ● all 14 current · nothing to do · 38 ms (saved ≈ 52 s)"
    assert flat(no_op_line(1, 0.038, 0)) == " ● it is current · nothing to do · 38 ms"


def test_the_summary_counts_every_state() -> None:
    outcomes = [
        StepOutcome(AssetKey(f"a{n}"), state) for n, state in enumerate(["materialized", "unchanged", "failed"])
    ]

    assert flat(summary_line(result(*outcomes))) == (
        " run #42 ✗ 1 materialized · 1 unchanged · 1 failed · 9 already current   4.2 s (saved ≈ 38 s)"
    )


@pytest.mark.parametrize(
    "state",
    ["materialized", "unchanged", "linked", "cut_off", "skipped", "failed", "rejected", "blocked", "cancelled"],
)
def test_every_outcome_has_a_line_of_its_own(state: str) -> None:
    assert flat(outcome_line(StepOutcome(ORDERS, state, message="because"), None)).count("orders") == 1
