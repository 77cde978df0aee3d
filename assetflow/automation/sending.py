"""How a message gets to a channel: a command, a webhook, or what apprise knows. No address ever leaves this module.

httpx and apprise are of the extra `alerts`, and imported when they are needed to send something.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import threading
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, cast

from assetflow.model.alerts import RECOVERED, Channel
from assetflow.model.secrets import SECRETS, Redactor

COMMAND_S = 10.0
"""How long a command may take."""
ANSWER_S = 5.0
"""How long a server may take to accept a connection, and to answer."""

_MISSING = "needs the extra `alerts`: pip install 'assetflow[alerts]'"
_LIBRARIES = ("apprise", "httpx", "httpcore", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_SAID = 200
_ONE_BY_ONE = threading.Lock()
"""Held while apprise sends: what it warns of then is of that address."""
_PARTS = re.compile(r"[/?&=:@#;,]+")


def send(channel: Channel, document: Mapping[str, object], root: Path, environment: Mapping[str, str]) -> str:
    """Send a message; why that did not work, without anything of the address in it, or nothing when it has arrived."""
    if channel.command:
        return _clean(_to_command(channel.command, document, root))
    url = address(channel, environment)
    if not url:
        return f"the variable {channel.url.removeprefix('env:')} is not set"
    SECRETS.add(url)
    if _is_web(url):
        return _to_webhook(url, document)
    return _clean(_to_apprise(url, document), _parts_of(url))


def address(channel: Channel, environment: Mapping[str, str]) -> str:
    """The address of a channel; nothing, if it is in a variable that is not set."""
    if channel.url.startswith("env:"):
        return environment.get(channel.url.removeprefix("env:"), "").strip()
    return channel.url


def _is_web(url: str) -> bool:
    return url.partition("://")[0].lower() in ("http", "https")


def _parts_of(url: str) -> Redactor:
    """What stars out all that may be a secret in an address: each of its parts, for what apprise says of it."""
    found = Redactor()
    for part in _PARTS.split(url.partition("://")[2]):
        found.add(part)
    return found


def _clean(said: str, more: Redactor | None = None) -> str:
    """The last line of a text, without secrets, and not too long."""
    line = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    line = SECRETS.text(line)
    return (line if more is None else more.text(line))[:_SAID]


# -------------------------------------------------------------------------------------------------------- commands


def _to_command(command: tuple[str, ...], document: Mapping[str, object], root: Path) -> str:
    text = json.dumps(document, ensure_ascii=False)
    try:
        # In a session of its own: ctrl-c is for the run that it tells of, and all that it starts can be ended.
        process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}"
    with process:
        try:
            _, said = process.communicate(text, timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"{command[0]} did not end within {COMMAND_S:g} s"
        if process.returncode == 0:
            return ""
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        return f"{command[0]} ended with exit code {process.returncode}{f': {last.strip()}' if last else ''}"


def _end(process: subprocess.Popen[str]) -> None:
    """End a command with all that it started: what holds its pipes would be waited for."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


# -------------------------------------------------------------------------------------------------------- webhooks


def _to_webhook(url: str, document: Mapping[str, object]) -> str:
    try:
        import httpx
    except ImportError:
        return f"a webhook {_MISSING}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(document.get("id", ""))}
    content = json.dumps(document, ensure_ascii=False).encode()
    try:
        with _unheard():
            answer = httpx.post(url, content=content, headers=headers, timeout=ANSWER_S, follow_redirects=False)
    except httpx.TimeoutException:
        return f"no answer within {ANSWER_S:g} s"
    except httpx.ConnectError:
        return "no connection"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return type(error).__name__  # its text may have the address
    return "" if answer.is_success else f"HTTP {answer.status_code}"


@contextmanager
def _unheard(*, in_all_threads: bool = False) -> Generator[list[str]]:
    """Keep what the libraries log away from whoever listens, since it may have the address.

    What apprise warns of is in the list.
    """
    mine, warned = threading.get_ident(), list[str]()

    def keep_back(record: logging.LogRecord) -> bool:
        if not in_all_threads and record.thread != mine:
            return True
        if record.name == "apprise" and record.levelno >= logging.WARNING:
            warned.append(record.getMessage().strip())
        return False

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LIBRARIES]
    for name in names:
        logging.getLogger(name).addFilter(keep_back)
    try:
        yield warned
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(keep_back)


# --------------------------------------------------------------------------------------------------------- apprise


class _Apprise(Protocol):
    """What we use of `apprise.Apprise`."""

    def add(self, servers: str) -> bool: ...
    def notify(self, *, title: str, body: str, notify_type: str) -> bool | None: ...


def _apprise(url: str) -> tuple[_Apprise | None, str]:
    """The sender for an address, or why there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its plugins, about the standard library: nothing that a user can mend
        try:
            import apprise
        except ImportError:
            return None, f"this address {_MISSING}"
        with _unheard():
            told = cast("_Apprise", apprise.Apprise())
            return (told, "") if told.add(url) else (None, "apprise does not know such an address")


def _to_apprise(url: str, document: Mapping[str, object]) -> str:
    try:
        told, problem = _apprise(url)
        if told is None:
            return problem
        title = str(document["title"])
        kind = "success" if document.get("kind") == RECOVERED else "failure"
        with _ONE_BY_ONE, _unheard(in_all_threads=True) as warned:  # it has threads of its own
            is_sent = told.notify(title=title, body=str(document["text"] or title), notify_type=kind)
    except Exception as error:  # noqa: BLE001 - its 100 plugins may raise anything, with the address in it
        return f"apprise raised {type(error).__name__}"
    return "" if is_sent else ": ".join(["apprise could not send it", *(["; ".join(warned)] if warned else [])])


def why_not(channel: Channel, environment: Mapping[str, str]) -> str:
    """What keeps a channel from being told that can be known without sending anything; nothing when all is well."""
    if channel.command:
        return ""
    from importlib.util import find_spec

    url = address(channel, environment)
    if not url:
        return f"the variable {channel.url.removeprefix('env:')} is not set"
    if find_spec("httpx" if _is_web(url) else "apprise") is None:
        return f"it {_MISSING}"
    if _is_web(url):
        return ""
    return _apprise(url)[1]
