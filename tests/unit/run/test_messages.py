"""What crosses between our processes: plain values and our own classes, whatever user code put into them."""

from __future__ import annotations

import enum
import os
import pickle
import socket
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from assetflow.run.messages import from_bytes, receive, send, to_bytes
from assetflow.run.outcome import StepError


class Text(str):
    def __str__(self) -> str:
        raise ValueError("no text")


class Number(enum.IntEnum):
    THREE = 3


class Mute:
    def __repr__(self) -> str:
        raise ValueError("no text")


class Listed(list[int]):
    def __iter__(self) -> Any:
        raise ValueError("not to be read")


Pair = namedtuple("Pair", "one two")
PLAIN = [
    None,
    True,
    1,
    2.5,
    "é",
    b"\0",
    (1, 2),
    [3],
    {"a": 1},
    {4},
    frozenset([5]),
    Path("/x"),
    datetime(2026, 1, 1, tzinfo=UTC),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_come_as_they_are(value: object) -> None:
    found = from_bytes(to_bytes({"value": value}))["value"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("odd"), "odd"),
        (Number.THREE, 3),
        (Pair(1, 2), (1, 2)),
        (Listed([1, 2]), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": Text("b")}), {"a": "b"}),
        (Mute(), "<Mute, whose text could not be read: ValueError>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_of_other_classes_become_plain(value: object, plain: object) -> None:
    found = from_bytes(to_bytes([value]))[0]

    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    "value", [lambda: 1, Mute, os.system, socket, len], ids=["lambda", "class", "function", "module", "builtin"]
)
def test_code_becomes_text(value: object) -> None:
    assert isinstance(from_bytes(to_bytes([value]))[0], str)


def test_our_own_classes_cross_with_what_users_put_into_them() -> None:
    error = StepError("AF160", "ValueError", Text("odd"), facts=(Text("one"),))

    assert from_bytes(to_bytes(error)) == StepError("AF160", "ValueError", "odd", facts=("one",))


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_a_message_of_other_classes_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of a message"):
        from_bytes(pickle.dumps(Evil()))


def test_large_messages_and_open_files_come_whole() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        send(ours, "small", [writer])
        os.close(writer)
        message, (found,) = receive(theirs, 3)
        os.write(found, b"through")
        os.close(found)
        assert (message, os.read(reader, 100)) == ("small", b"through")
        os.close(reader)

        ours.close()
        with pytest.raises(EOFError, match="the other process is gone"):
            receive(theirs)
