"""Alerts on the command line: sent after a run whatever comes of it, to servers and commands, with no address shown."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from assetflow import Project

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="channels of these tests are commands of a shell")

ROOT = Path(__file__).parents[3]
OUTSIDE: dict[str, Any] = {
    "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
}  # fmt: skip
SECRET = "T0pS3cretT0ken"
ASSETS = """
from assetflow import asset


@asset
def orders() -> int:
    raise ValueError("no rows")


@asset
def total(orders: int) -> int:
    return orders
"""


class Server:
    """A web server of the test: what it was sent, and what it answers."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(outer.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the screen."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._http.server_port}"
        self._thread = Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assets.py").write_text(ASSETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def configured(shop: Path, text: str) -> None:
    (shop / "assetflow.toml").write_text('modules = ["assets"]\nexecutor = "inline"\n' + text)


def outside(shop: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run([sys.executable, "-m", "assetflow", *arguments], **OUTSIDE, cwd=shop, check=False)


def mended(shop: Path) -> None:
    text = (shop / "assets.py").read_text()
    (shop / "assets.py").write_text(text.replace('raise ValueError("no rows")', "return 1"))


def told(shop: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shop / "told.jsonl").read_text().splitlines()]


# ----------------------------------------------------------------------------------------------------------- webhooks


def test_a_backfill_tells_what_failed_when_it_ends(shop: Path, cli: Cli) -> None:
    (shop / "assets.py").write_text(
        "from assetflow import Partition, Static, asset\n\n\n"
        "@asset(partitions=Static(['a', 'b']))\n"
        "def named(partition: Partition) -> int:\n    raise ValueError(partition.key)\n"
    )
    tells = "import sys; open('told.jsonl', 'a').write(sys.stdin.read())"
    configured(shop, f"[alerts.file]\ncommand = {json.dumps([sys.executable, '-c', tells])}\n")

    assert cli("backfill", "named", "-p", "a,b").code == 1

    assert "named" in (shop / "told.jsonl").read_text()


def test_a_webhook_gets_the_failure_and_its_end_as_json(shop: Path, server: Server) -> None:
    configured(shop, f'[alerts.hook]\nurl = "http://{server.address}/hook/{SECRET}"\n')

    failed = outside(shop, "materialize")
    mended(shop)
    fine = outside(shop, "materialize")

    assert (failed.returncode, fine.returncode) == (1, 0)
    [(path, headers, first), (_, _, last)] = server.received
    assert path == f"/hook/{SECRET}"
    assert headers["Idempotency-Key"] == first["id"]
    assert headers["Content-Type"] == "application/json"
    assert (first["schema"], first["kind"], first["subject"]) == ("assetflow.message/1", "opened", "orders")
    assert first["blocked"] == ["total"]
    assert (last["kind"], last["alert"]) == ("recovered", first["alert"])


@pytest.mark.parametrize(("status", "error"), [(500, "HTTP 500"), (302, "HTTP 302")])
def test_a_server_that_refuses_does_not_change_how_the_run_ended(
    shop: Path, server: Server, cli: Cli, status: int, error: str
) -> None:
    server.status = status
    configured(shop, f'[alerts.hook]\nurl = "http://{server.address}/{SECRET}"\n')

    screen = cli("materialize")

    assert screen.code == 1
    assert f"alert not sent yet: hook: {error}" in screen.err
    assert len(server.received) == 1, "a redirect is not followed"
    document = cli("alert", "ls", "--json").document["data"]
    [channel] = document["channels"]
    assert (channel["state"], channel["last_error"], len(channel["waiting"])) == ("failing", error, 1)
    assert [one["subject"] for one in document["open"]] == ["orders"]


def test_a_run_that_is_fine_stays_so_when_its_alert_cannot_be_sent(shop: Path, cli: Cli) -> None:
    configured(shop, '[alerts.team]\ncommand = ["/bin/sh", "-c", "cat >> told.jsonl; echo >> told.jsonl"]\n')
    assert cli("materialize").code == 1
    configured(shop, '[alerts.team]\ncommand = ["./nothing-here"]\n')
    mended(shop)

    screen = outside(shop, "materialize")

    assert screen.returncode == 0
    assert "alert not sent yet: team: ./nothing-here cannot be started: No such file or directory" in screen.stderr


def test_apprise_knows_the_other_addresses(shop: Path, server: Server, cli: Cli) -> None:
    configured(shop, f'[alerts.other]\nurl = "json://user:{SECRET}@{server.address}/{SECRET}"\n')

    cli("materialize")

    [(path, headers, body)] = server.received
    assert path == f"/{SECRET}"
    assert headers["Authorization"].startswith("Basic ")
    assert body["title"].endswith("[dev] orders failed: ValueError: no rows")
    assert body["type"] == "failure"
    assert "blocked (1): total" in body["message"]


# ------------------------------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    ("url", "is_in_variable"),
    [
        (f"http://127.0.0.1:9/{SECRET}", True), (f"http://user:{SECRET}@127.0.0.1:9/", False),
        (f"http://127.0.0.1:{SECRET}/", False), (f"slack://{SECRET}A/{SECRET}B/{SECRET}C", True),
        (f"json://127.0.0.1:9/{SECRET}", False), (f"nonsense://{SECRET}/x", False),
    ],
)  # fmt: skip
def test_nothing_of_an_address_is_ever_shown_or_recorded(
    shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str, is_in_variable: bool
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing leaves this machine
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALERT_URL", url)
    configured(shop, f'[alerts.team]\nurl = "{"env:ALERT_URL" if is_in_variable else url}"\nassets = "orders"\n')

    forms = (
        ("materialize",), ("alert", "test", "team"), ("alert", "test", "--json"), ("alert", "ls"),
        ("alert", "ls", "--json"), ("alert", "ls", "--format", "table"), ("alert", "history", "--json"),
        ("alert", "send"), ("check",), ("check", "--json"), ("config",), ("config", "--json"), ("logs", "1"),
        ("runs", "show", "1", "--events", "--json"),
    )  # fmt: skip
    shown = "".join(screen.out + screen.err for screen in (cli(*words) for words in forms))

    assert "alert not sent yet: team: " in shown
    assert SECRET not in shown
    for path in (shop / ".assetflow").rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert (shop / ".assetflow" / "cache" / "settings.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("scheme", ["http", "json"])
def test_a_project_that_logs_everything_does_not_log_the_address(shop: Path, server: Server, scheme: str) -> None:
    text = (shop / "assets.py").read_text()
    (shop / "assets.py").write_text("import logging\nlogging.basicConfig(level=logging.DEBUG)\n" + text)
    configured(shop, f'[alerts.team]\nurl = "{scheme}://{server.address}/{SECRET}"\n')

    done = outside(shop, "materialize")

    assert len(server.received) == 1
    assert SECRET not in done.stderr + done.stdout


def test_what_apprise_says_of_an_address_is_shown_without_it(shop: Path, cli: Cli) -> None:
    from apprise.decorators import notify

    @notify(on="leaky")
    def tells_all(body: str, title: str, notify_type: str, meta: dict[str, Any], **_: object) -> bool:
        logging.getLogger("apprise").warning("refused by %s: %s is not a room", meta["schema"], meta["host"])
        return False

    configured(shop, f'[alerts.team]\nurl = "leaky://{SECRET}"\n')

    screen = cli("alert", "test")

    assert "team  apprise could not send it: refused by leaky: *** is not a room" in screen.out


def test_a_line_of_the_project_file_is_shown_without_its_address(shop: Path, cli: Cli) -> None:
    configured(shop, f'[alerts]\nteam = {{ url = "https://h.example/{SECRET}", on = "nonsense" }}\n')
    screen = cli("alert", "ls")
    assert "there is no event `nonsense`" in screen.err
    configured(shop, f'[alerts.team]\nurl = "https://h.example/{SECRET}\non = "*"\n')  # the quotes do not end

    unfinished = cli("alert", "ls")

    assert "assetflow.toml:4" in unfinished.err
    assert SECRET not in screen.err + unfinished.err


# ----------------------------------------------------------------------------------------------------- what dies, races


def test_who_is_killed_while_sending_leaves_it_to_the_next_round(shop: Path) -> None:
    """`kill -9` of the process that sends: the message has arrived, and nobody knows; so it comes again, as itself."""
    (shop / "tell.sh").write_text(
        "cat >> told.jsonl; echo >> told.jsonl\n[ -e killed ] || { touch killed; kill -9 $PPID; }\n"
    )
    configured(shop, '[alerts.team]\ncommand = ["/bin/sh", "tell.sh"]\n')

    assert outside(shop, "materialize").returncode == -9
    assert outside(shop, "alert", "send").returncode == 0
    assert outside(shop, "alert", "send").returncode == 0

    first, second = told(shop)
    assert first == second


def test_two_who_send_at_once_send_it_once(shop: Path) -> None:
    (shop / "tell.sh").write_text("cat >> told.jsonl; echo >> told.jsonl; echo began > began; read line < gate\n")
    os.mkfifo(shop / "began")
    os.mkfifo(shop / "gate")
    configured(shop, '[alerts.team]\ncommand = ["/bin/sh", "tell.sh"]\n')
    Project.load(shop).materialize()  # which records what is to be told, and sends nothing

    with subprocess.Popen([sys.executable, "-m", "assetflow", "alert", "send", "--json"], **OUTSIDE, cwd=shop) as first:
        (shop / "began").read_text()  # until the command is at it
        second = outside(shop, "alert", "send", "--json")
        (shop / "gate").write_text("go on\n")
        out, _ = first.communicate()

    assert json.loads(second.stdout)["data"]["busy"] == ["team"]
    assert [one["channel"] for one in json.loads(out)["data"]["sent"]] == ["team"]
    assert len(told(shop)) == 1


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assetflow.automation.sending.COMMAND_S", 0.2)
    configured(shop, '[alerts.team]\ncommand = ["/bin/sh", "-c", "sleep 600 & sleep 600"]\n')

    screen = cli("materialize")

    assert screen.code == 1
    assert "alert not sent yet: team: /bin/sh did not end within 0.2 s" in screen.err


# ---------------------------------------------------------------------------------------------------------- the verbs


def test_a_test_is_really_sent_and_its_exit_code_says_whether(shop: Path, server: Server, cli: Cli) -> None:
    configured(
        shop,
        f'[alerts.hook]\nurl = "http://{server.address}/"\n[alerts.unset]\nurl = "env:ASSETFLOW_TEST_NOT_SET"\n',
    )

    fine, bad = cli("alert", "test", "hook"), cli("alert", "test")

    assert (fine.code, bad.code) == (0, 1)
    assert [(body["kind"], "TEST" in body["title"]) for _, _, body in server.received] == [("test", True)] * 2
    assert "the variable ASSETFLOW_TEST_NOT_SET is not set" in bad.out
    assert "`unset` could not be told" in bad.err
    assert cli("alert", "ls", "--json").document["data"]["channels"][0]["waiting"] == []


def test_check_shows_a_channel_whose_variable_is_not_set(shop: Path, cli: Cli) -> None:
    configured(shop, '[alerts.unset]\nurl = "env:ASSETFLOW_TEST_NOT_SET"\n')
    screen = cli("check")

    assert screen.code == 0  # it may well be set where the runs are
    assert "the variable ASSETFLOW_TEST_NOT_SET is not set" in screen.out
    assert "what the fingerprint could not see" not in screen.out


def test_a_round_that_cannot_look_at_the_project_says_so_and_fails(shop: Path, server: Server, cli: Cli) -> None:
    configured(shop, f'[alerts.hook]\nurl = "http://{server.address}/"\n')
    assert cli("alert", "send").code == 0
    (shop / "assets.py").write_text("def orders(:\n")
    screen = cli("alert", "send")

    assert screen.code == 1
    assert "the project cannot be looked at" in screen.out
    assert "what is overdue was not looked for" in screen.err


def test_a_channel_that_does_not_exist_is_named_with_the_nearest(shop: Path, cli: Cli) -> None:
    configured(shop, '[alerts.team]\ncommand = ["true"]\n')

    screen = cli("alert", "test", "taem")

    assert screen.code == 2
    assert "did you mean `team`?" in screen.err


def test_check_finds_channels_that_cannot_be_told(shop: Path, cli: Cli) -> None:
    configured(
        shop,
        '[alerts.a]\ncommand = ["true"]\nassets = "ordrs"\n[alerts.b]\nurl = "nonsense://somewhere"\n'
        '[alerts.c]\nurl = "env:ASSETFLOW_TEST_NOT_SET"\n[alerts.d]\nurl = "nonsense://x"\nenabled = false\n',
    )

    found = cli("check", "--json").document["data"]["findings"]

    assert [(one["severity"], one["where"]["line"]) for one in found if one["kind"] == "alert"] == [
        ("error", 5), ("warning", 7), ("note", 9),
    ]  # fmt: skip


@pytest.mark.parametrize("form", [["ls"], ["test"], ["history"], ["send"]], ids=" ".join)
def test_a_project_without_channels_says_how_to_declare_one(shop: Path, cli: Cli, form: list[str]) -> None:
    configured(shop, "")

    screen = cli("alert", *form)

    assert screen.code == 0
    assert "[alerts.team]" in screen.out or "nothing has been wrong yet" in screen.out


def test_a_form_that_is_none_is_refused(shop: Path, cli: Cli) -> None:
    configured(shop, "")

    assert cli("alert", "mute", "team").code == 2
    assert cli("alert", "ls", "team").code == 2


def test_a_shell_completes_forms_and_channels(shop: Path, cli: Cli) -> None:
    configured(shop, '[alerts.team]\ncommand = ["true"]\n[alerts.hook]\ncommand = ["true"]\n')

    assert sorted(cli("__complete", "bash", "assetflow alert ").out.split()) == ["history", "ls", "send", "test"]
    assert sorted(cli("__complete", "bash", "assetflow alert test ").out.split()) == ["hook", "team"]
