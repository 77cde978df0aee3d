"""The report: some numbers as JSON, a page as a file, and its delivery."""

from pathlib import Path

import pandas as pd

from assetflow import Context, Resource, Retry, asset

PAGE = """# Coffee shop

{orders} paid orders from {first} to {last}, {revenue:,.2f} GBP net of tax.
Best day: {best}. Best customer: {customer}.
"""


class Outbox(Resource):
    """A folder that reports are put into. `OUTBOX_FOLDER` in the environment names another one."""

    folder: Path = Path(__file__).parents[1] / "outbox"

    def set_up(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


@asset
def summary(daily_revenue: pd.DataFrame, customer_value: pd.DataFrame) -> dict[str, object]:
    """The numbers of the report. What is JSON is stored as JSON."""
    best = daily_revenue.loc[daily_revenue.revenue.idxmax()]
    return {
        "first": f"{daily_revenue.day.min():%Y-%m-%d}",
        "last": f"{daily_revenue.day.max():%Y-%m-%d}",
        "orders": int(daily_revenue.orders.sum()),
        "revenue": round(float(daily_revenue.revenue.sum()), 2),
        "best": f"{best.day:%Y-%m-%d}",
        "customer": str(customer_value.name[0]),
    }


@asset
def report(summary: dict[str, object]) -> bytes:
    """The report as a page. Bytes, or the Path of a file, are stored as a file."""
    return PAGE.format(**summary).encode()


@asset(retry=Retry(2, delay="1s", on=OSError))
def delivered_report(report: bytes, outbox: Outbox, context: Context) -> None:
    """Puts the report into the outbox. An asset that returns None stored its result itself."""
    path = outbox.put("report.md", report)
    context.log.info("delivered to %s", path)
    context.add_metadata(size_bytes=len(report))
