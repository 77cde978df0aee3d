"""What looks like a secret, what does not, and what looking costs."""

from __future__ import annotations

import sys
import time
from types import FrameType

import pytest
from hypothesis import given, strategies as st

from assetflow.model.secrets import LEAST, Redactor

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA+/=\nabc=\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
        ("ASIAIOSFODNN7EXAMPLE", "***"),
        (f"Bearer {JWT}", "Bearer ***"),
        (f"<{JWT}>", "<***>"),
        ("password=hunter2 and", "password=*** and"),
        ("PASSWORD = 'hunter 2'", "PASSWORD = ***"),
        ('password="hunter2', "password=***"),
        ('{"password": "hunter2", "user": "ann"}', '{"password": ***, "user": "ann"}'),
        ("{'db_password': 'it\\'s', 'x': 1}", "{'db_password': ***, 'x': 1}"),
        ("passwd: hunter2", "passwd: ***"),
        ("?api_key=abc&page=2", "?api_key=***&page=2"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = ***"),
        ("client-secret=abc", "client-secret=***"),
        ("access_token=abc", "access_token=***"),
        ("Authorization: Bearer abcdef", "Authorization: Bearer ***"),
        ("'authorization': 'Basic YW5uOnB3'", "'authorization': 'Basic ***'"),
        ("postgres://ann:pw@db.example/shop", "postgres://***@db.example/shop"),
        ("https://ghp_abc@github.example/x", "https://***@github.example/x"),
        ("s3+http://a:b@c and https://d:e@f", "s3+http://***@c and https://***@f"),
        (f"before\n{PEM}\nafter", "before\n***\nafter"),
        (PEM.replace("\n", "\\n"), "***"),
    ],
)
def test_what_looks_like_a_secret_becomes_stars(text: str, clean: str) -> None:
    found = Redactor().text(text)

    assert found == clean
    assert Redactor().text(found) == clean


@pytest.mark.parametrize(
    "text",
    [
        "def login(user: str, password: str) -> None:",
        "the password is wrong",
        "next_token=5",
        "passed: 12, failed: 0",
        "https://example.com/a@b and mail ann@example.com",
        "https://example.com:8080/x?to=a@b",
        "keys: 12",
        "primary_key = id",
        "eyJ is how they begin",
        "AKIA is the prefix",
        "monkey=1",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_does_not_stays(text: str) -> None:
    assert Redactor().text(text) is text


@given(st.text(min_size=LEAST), st.text(), st.text())
def test_a_known_value_is_found_wherever_it_stands(value: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(value)

    assert value not in redactor.text(before + value + after)
    assert value not in str(redactor.value({before + value: [value, {"deep": (value,)}]}))


def test_short_values_are_not_looked_for() -> None:
    redactor = Redactor()
    redactor.add("abcde")

    assert redactor.text("abcdefgh") == "abcdefgh"


@given(st.text("ab\n ", min_size=1, max_size=60), st.integers(0, 60))
def test_a_cut_never_goes_through_a_secret(text: str, at: int) -> None:
    redactor = Redactor()
    redactor.add("abbaab")
    cut = redactor.cut(text, min(at, len(text)))

    assert redactor.text(text[:cut]) + redactor.text(text[cut:]) == redactor.text(text)


@pytest.mark.parametrize(
    "piece",
    ["a.", "eyJa-", "eyJabcdefgh.eyJ-", "password ", "password=", "password='", "://", "a://b", "authorization:",
     "-----BEGIN PRIVATE KEY-----", "AKIA", "key token secret pass ", "\\", "'", " "],
)  # fmt: skip
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    text = "://eyJ password authorization private key----- akia " + piece * (200_000 // len(piece))
    began = time.process_time()
    Redactor().text(text)

    assert time.process_time() - began < 5  # what is not linear takes minutes


def calls(redactor: Redactor, lines: list[str]) -> int:
    """How many functions, of Python and of C, are called to look through the lines."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        for line in lines:
            redactor.text(line)
    finally:
        sys.setprofile(None)
    return count


def test_looking_costs_next_to_nothing_when_nothing_is_there() -> None:
    lines = [f"2026-03-05 INFO read page {number} of 1000 from the shop\n" for number in range(1000)]

    # One call of `text` and one of `lower`: no expression is tried, whatever the length of the line.
    assert calls(Redactor(), lines) <= 2 * len(lines) + 1
    known = Redactor()
    known.add("a secret value")
    known.text("the expression is made here")
    assert calls(known, lines) <= 3 * len(lines) + 1
