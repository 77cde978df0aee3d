"""No way out of a step shows a secret: what it prints, logs, raises, records or tells, in any usual encoding."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from assetflow.cli.progress import JsonWatcher
from assetflow.cli.render import Screen

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SECRET = 'p@ss/w0rd+"é\\x=~'

ENCODINGS = {
    "plain": lambda text: text,
    "url": lambda text: quote(text, safe=""),
    "url path": quote,
    "form": quote_plus,
    "lower url": lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic auth": lambda text: base64.b64encode(f"ann:{text}".encode()).decode(),
    "longer basic auth": lambda text: base64.b64encode(f"annie:{text}\n".encode()).decode(),
    "json": json.dumps,
    "json unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "repr": repr,
    "bytes": lambda text: repr(text.encode()),
}  # fmt: skip

ROUTES = {
    "print": "print(leak)",
    "print in pieces": "[print(one, end='') for one in leak]; print()",
    "print without end": "print(leak, end='')",
    "print flushed in pieces": "[print(one, end='', flush=True) for one in leak]",
    "print repr of a list": "print(leaks)",
    "carriage returns": "print('\\r'.join(leaks), end='\\r')",
    "write": "sys.stdout.write(leak + '\\n')",
    "writelines": "sys.stdout.writelines(leaks)",
    "stderr": "print(leak, file=sys.stderr)",
    "stderr in pieces": "[sys.stderr.write(one) for one in leak]",
    "a long line": "print('x' * (65_536 - 40) + ' ' + leak * 3 + 'y' * 70_000)",
    "a line longer than that": "[print('z' * 1_000 + leak, end='') for _ in range(200)]",
    "context log": "context.log.info('the leak is %s', leak)",
    "root logger": "logging.getLogger().warning(leak)",
    "library logger": "logging.getLogger('some.library').error({'leak': leaks})",
    "log of an exception": "try:\n        int(leak)\n    except ValueError:\n        context.log.exception('failed')",
    "broken log call": "logging.getLogger('x').warning('%s %s', leak)",
    "warning": "warnings.warn(leak)",
    "traceback on stderr": "try:\n        int(leak)\n    except ValueError:\n        traceback.print_exc()",
    "pprint": "pprint.pprint(leaks)",
    "thread": "t = threading.Thread(target=print, args=(leak,)); t.start(); t.join()",
    "thread that raises": "t = threading.Thread(target=lambda: int(leak)); t.start(); t.join()",
    "raise": "raise ValueError(leak)",
    "raise with args": "raise OSError(5, leak, leak)",
    "raise KeyError": "{}[leak]",
    "raise from": "raise ValueError('outer') from KeyError(leak)",
    "raise in except": "try:\n        int(leak)\n    except ValueError:\n        raise RuntimeError('other')",
    "note": "error = ValueError('noted'); error.add_note(leak); raise error",
    "group": "raise ExceptionGroup(leak, [ValueError(leak)])",
    "exit": "sys.exit(leak)",
    "assertion": "assert not leak, leak",
    "own str": "raise Talkative(leak)",
    "our error": "raise AssetflowError(leak, facts=leaks, fix=leak)",
    "skip": "raise Skip(leak)",
    "progress": "context.progress(1, 2, leak)",
    "step": "with context.step(leak):\n        pass",
    "metadata": "context.add_metadata(found=leak)",
    "nested metadata": "context.add_metadata(found={'deep': [{leak: leaks}]})",
    "result": "return Result(1, metadata={'found': leak})",
    "wrong return": "return {leak: object()}",
    "password url": "raise ConnectionError(f'cannot reach postgres://ann:{leaks[1]}@db.example/x')",
}  # fmt: skip

HEAD = """
import base64
import json
import logging
import pprint
import sys
import traceback
import warnings
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretStr, field_validator


class Talkative(Exception):
    def __str__(self):
        return self.args[0]


class Account(BaseModel):
    passwords: dict[str, list[SecretStr]]


class Api(Resource):
    {field}

    def set_up(self):
        print("set up with", reveal(self))

    def tear_down(self):
        print("torn down with", reveal(self))
        raise OSError(reveal(self))


def reveal(api):
    return {reveal}


def leaks_of(api):
    secret = reveal(api)
    return [
        secret, quote(secret, safe=""), quote(secret), quote_plus(secret),
        quote(secret, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
        base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(secret.encode()).decode(),
        base64.b64encode(b"ann:" + secret.encode()).decode(),
        base64.b64encode(f"annie:{{secret}}\\n".encode()).decode(),
        json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), repr(secret.encode()),
    ]
"""

KINDS = {
    "Secret": ("token: Secret", "api.token.reveal()", SECRET),
    "SecretStr deep inside": (
        "accounts: list[Account]", "api.accounts[0].passwords['db'][0].get_secret_value()",
        json.dumps([{"passwords": {"db": [SECRET]}}]),
    ),
}  # fmt: skip


READ = """    @field_validator("accounts", mode="before")
    def _read(cls, given):
        return json.loads(given)

"""


def declared(name: str, body: str) -> str:
    return f"""
@asset(retry=Retry(1))
def {name}(context: Context, api: Api) -> object:
    leaks = leaks_of(api)
    leak = " ".join(leaks)
    {body}
    return 1


@check({name}, blocking=False)
def {name}_fails(context: Context, api: Api, {name}: object) -> CheckResult:
    leak = " ".join(leaks_of(api))
    print(leak)
    return CheckResult(False, leak)


@check({name}, blocking=False)
def {name}_raises(context: Context, api: Api, {name}: object) -> bool:
    raise ValueError(" ".join(leaks_of(api)))
"""


def shown(found: bytes) -> set[str]:
    """The encodings of the secret that are in there."""
    raw = {name: encode(SECRET) for name, encode in ENCODINGS.items()}
    inner = {name: text.strip("\"'").removeprefix("b'") for name, text in raw.items()}
    # Of a longer base 64 text, the part that the secret alone decides is what would give it away.
    inner["basic auth"], inner["longer basic auth"] = inner["basic auth"][6:-4], inner["longer basic auth"][8:-4]
    return {name for name, text in inner.items() if text.encode() in found}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_no_route_leaks_a_secret_in_any_encoding(
    kind: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import io

    field, reveal, text = KINDS[kind]
    names = {f"route_{number}": body for number, body in enumerate(ROUTES.values())}
    head = HEAD.format(field=field, reveal=reveal)
    if kind != "Secret":  # fields of a resource that are no text come from the project file
        head = head.replace("    def set_up", READ + "    def set_up", 1)
    workspace.assets(head + "".join(declared(name, body) for name, body in names.items()))
    monkeypatch.setenv("API_TOKEN", text)
    monkeypatch.setenv("API_ACCOUNTS", text)
    out, err = io.StringIO(), io.StringIO()

    result = workspace.project().materialize(observer=JsonWatcher(Screen(out, err)))

    states = {name: result[name].state for name in names}
    assert set(states.values()) == {"materialized", "failed", "skipped"}
    project = workspace.project()
    run, attempts = project.run_details(1)
    told = [out.getvalue(), err.getvalue(), *capfd.readouterr(), repr(result), json.dumps(result.to_json())]
    told += [repr(run), repr(attempts)]
    assert shown("\n".join(told).encode()) == set()
    for path in (workspace.root / ".assetflow").rglob("*"):
        if path.is_file():
            assert shown(path.read_bytes()) == set(), path
    logs = "\n".join(log.text for log in project.logs())
    assert logs.count("***") > 13 * 20
    with sqlite3.connect(workspace.root / ".assetflow/catalog.db") as connection:
        assert shown("\n".join(connection.iterdump()).encode()) == set()


def test_the_secret_is_in_the_routes_when_nobody_looks(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would notice: a value that is not known as a secret is found by it."""
    text = HEAD.format(field="name: str", reveal="api.name") + declared("open", "print(leak)")
    workspace.assets(text, settings="log_limit = '1MB'\n")
    value = 'n@me/of+"é\\x=~'
    monkeypatch.setenv("API_NAME", value)

    workspace.materialize()

    found = b"".join(path.read_bytes() for path in (workspace.root / ".assetflow").rglob("*.log"))
    for encode in ENCODINGS.values():
        assert encode(value).strip("\"'").removeprefix("b'").encode() in found


def test_secrets_of_configs_are_known_before_anything_runs(workspace: Workspace) -> None:
    workspace.assets(
        """
        from pydantic import SecretBytes

        class LoginConfig(Config):
            key: SecretBytes

        @asset
        def one(config: LoginConfig) -> int:
            print("with", config.key.get_secret_value().decode())
            return 1
        """,
        settings='[config.one]\nkey = "correct horse"\n',
    )

    workspace.materialize().raise_for_status()

    (log,) = workspace.project().logs(key="one")
    assert log.text == "with ***\n"


def test_a_key_of_many_lines_is_left_out_line_by_line(workspace: Workspace) -> None:
    workspace.assets("""
        BODY = "\\n".join(f"MIIEvQIBADANBgkqhkiG9w0BAQ{number:04}" for number in range(30))

        @asset
        def one() -> int:
            print("key:", f"-----BEGIN RSA PRIVATE KEY-----\\n{BODY}\\n-----END RSA PRIVATE KEY-----", "and on")
            for line in f"-----BEGIN PRIVATE KEY-----\\n{BODY}\\n-----END PRIVATE KEY-----".splitlines():
                print(line)
            print("after")
            raise ValueError(f"-----BEGIN EC PRIVATE KEY-----\\n{BODY}\\n-----END EC PRIVATE KEY-----")
        """)

    result = workspace.materialize()

    (log,) = workspace.project().logs(key="one")
    assert "MIIEvQ" not in log.text
    assert log.text.startswith("key: *** and on\n***\nafter\nTraceback")
    error = result["one"].error
    assert error is not None
    assert error.message == "***"


def test_secrets_stay_out_of_reports_of_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from assetflow.cli.crash import internal_error
    from assetflow.model.settings import Secret

    Secret("crash-secret-1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assetflow.toml").write_text("")
    try:
        raise RuntimeError("with crash-secret-1 inside")
    except RuntimeError as error:
        found = internal_error(error, ["plan"], None)

    (report,) = (tmp_path / ".assetflow" / "crash").iterdir()
    assert "crash-secret-1" not in report.read_text()
    assert "crash-secret-1" not in found.what
