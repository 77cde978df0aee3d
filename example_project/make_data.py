"""Writes the CSV files in `data/`: two months of a small coffee shop that also sells online.

    python make_data.py

The same seed gives the same files, byte for byte. The data has the usual dirt: orders that were written twice, an order
of a customer whom nobody knows, unpaid orders, late payments, refunds, and spaces around names.
"""

import csv
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEED = 7
FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
DAYS = 61
DATA = Path(__file__).parent / "data"

PRODUCTS = {"espresso beans": 9.5, "filter beans": 8.0, "grinder": 64.0, "mug": 12.0, "subscription": 24.0}
CHANNELS = ["shop", "shop", "shop", "web", "web", "phone"]
COUNTRIES = {"GB": "GBP", "IE": "EUR", "DE": "EUR", "FR": "EUR", "US": "USD"}
FIRST_NAMES = ["Ada", "Ben", "Chloe", "Dev", "Ewa", "Finn", "Grace", "Hugo", "Iris", "Jonas", "Kira", "Liam"]
LAST_NAMES = ["Archer", "Baker", "Cole", "Dunn", "Ellis", "Frost", "Green", "Hale", "Ivers", "Jones"]


def main() -> None:
    chance = random.Random(SEED)  # noqa: S311 - nothing here is a secret
    customers = list(make_customers(chance))
    orders = list(make_orders(chance, customers))
    payments = list(make_payments(chance, orders))
    refunds = list(make_refunds(chance, payments))
    orders[400:400] = [orders[399], orders[120]]  # written twice by the till
    write("customers.csv", ["customer_id", "name", "country", "joined_on"], customers)
    write(
        "orders.csv",
        ["order_id", "customer_id", "placed_at", "channel", "product", "quantity", "gross", "currency"],
        orders,
    )
    write("payments.csv", ["payment_id", "order_id", "paid_at", "amount"], payments)
    write("refunds.csv", ["refund_id", "order_id", "refunded_on", "amount", "reason"], refunds)
    write("fx_rates.csv", ["day", "currency", "gbp"], make_rates(chance))


def make_customers(chance: random.Random) -> Iterable[list[object]]:
    for number in range(1, 221):
        name = f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}"
        country = chance.choice(["GB", "GB", "GB", "IE", "DE", "FR", "US"])
        joined = FIRST_DAY - timedelta(days=chance.randrange(1, 900))
        yield [number, f" {name}" if number % 50 == 0 else name, country, f"{joined:%Y-%m-%d}"]


def make_orders(chance: random.Random, customers: list[list[object]]) -> Iterable[list[object]]:
    number = 10_000
    for day in range(DAYS):
        for minute in sorted(chance.sample(range(7 * 60, 20 * 60), chance.randrange(14, 26))):
            number += 1
            customer = chance.choice(customers)
            product, price = chance.choice(list(PRODUCTS.items()))
            quantity = chance.choice([1, 1, 1, 2, 3])
            placed = FIRST_DAY + timedelta(days=day, minutes=minute)
            yield [
                number,
                999 if number == 10_500 else customer[0],
                f"{placed:%Y-%m-%dT%H:%M:%S}",
                chance.choice(CHANNELS),
                product,
                quantity,
                f"{price * quantity:.2f}",
                COUNTRIES[str(customer[2])],
            ]


def make_payments(chance: random.Random, orders: list[list[object]]) -> Iterable[list[object]]:
    number = 50_000
    for order in orders:
        if chance.random() < 0.02:
            continue  # never paid
        number += 1
        placed = datetime.fromisoformat(str(order[2]))
        days = 45 if order[0] == 10_321 else chance.choice([0, 0, 0, 0, 1, 2, 6])
        paid = placed + timedelta(days=days, minutes=chance.randrange(1, 60))
        yield [number, order[0], f"{paid:%Y-%m-%dT%H:%M:%S}", order[6]]


def make_refunds(chance: random.Random, payments: list[list[object]]) -> Iterable[list[object]]:
    reasons = ["damaged", "wrong product", "late", "changed mind"]
    for number, payment in enumerate(chance.sample(payments, 36), start=1):
        paid = datetime.fromisoformat(str(payment[2]))
        amount = float(str(payment[3])) * chance.choice([1.0, 1.0, 0.5])
        day = paid + timedelta(days=chance.randrange(2, 30))
        yield [number, payment[1], f"{day:%Y-%m-%d}", f"{amount:.2f}", chance.choice(reasons)]


def make_rates(chance: random.Random) -> Iterable[list[object]]:
    rates = {"EUR": 0.87, "USD": 0.76}
    for day in range(DAYS):
        for currency, rate in rates.items():
            rates[currency] = rate * (1 + chance.uniform(-0.004, 0.004))
            yield [f"{FIRST_DAY + timedelta(days=day):%Y-%m-%d}", currency, f"{rates[currency]:.4f}"]


def write(name: str, header: list[str], rows: Iterable[list[object]]) -> None:
    DATA.mkdir(exist_ok=True)
    with (DATA / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
