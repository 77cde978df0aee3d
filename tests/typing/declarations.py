# pyright: strict, reportUnnecessaryTypeIgnoreComment=false
"""Checked by pyright and mypy in strict mode, and never run: what decorated functions look like in an editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, assert_type

from assetflow import (
    CheckResult,
    Config,
    Context,
    Freshness,
    In,
    Out,
    Resource,
    Result,
    Retry,
    Secret,
    asset,
    assets,
    check,
    not_null,
    source,
    unique,
)

raw_orders = source("raw_orders", path="data/raw_orders.csv", delimiter=";", freshness=Freshness(within="24h"))


class RatesConfig(Config):
    base: str = "GBP"
    key: Secret = Secret("")


class Client(Resource):
    url: str = "https://example.com"


@asset
def plain(raw_orders: list[int]) -> list[int]:
    return raw_orders


@asset(key="marts.total", tags=["gold"], checks=[not_null("x"), unique("x")], retry=Retry(3, delay="2s"), deps=[plain])
def with_arguments(plain: Annotated[list[int], In(columns=["x"])], *, limit: int = 3) -> int:
    return sum(plain[:limit])


@asset(inputs={"numbers": plain}, deps=[raw_orders, "other"], retry=2)
def with_everything(numbers: list[int], config: RatesConfig, client: Client, context: Context) -> Result:
    context.log.info("%s %s", config.base, client.url)
    return Result(numbers, metadata={"count": len(numbers)})


@assets("paid", Out("unpaid", io="duckdb"))
def split(plain: list[int]) -> tuple[list[int], list[int]]:
    return plain, plain


@check(plain, blocking=False)
def is_small(plain: list[int]) -> bool:
    return len(plain) < 10


@check("marts.total")
def is_positive(total: int) -> CheckResult:
    return CheckResult(total > 0, "not positive")


# A decorated function keeps its exact type: parameters with their names, defaults and kinds, and what it returns.
assert_type(plain([1]), list[int])
assert_type(plain(raw_orders=[1]), list[int])
assert_type(with_arguments([1], limit=2), int)
assert_type(split([1]), tuple[list[int], list[int]])
assert_type(is_small([1]), bool)
assert_type(is_positive(1), CheckResult)
as_value: Callable[[list[int]], list[int]] = plain

plain("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
with_arguments([1], 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
asset(kye="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
