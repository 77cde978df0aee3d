"""Jobs and sensors that modules declare: they are what the project file would say, and mistakes are found at load."""

from __future__ import annotations

from collections.abc import Callable

from assetflow.automation.declared import declared
from assetflow.load.live import Loaded
from assetflow.load.manifest import read_manifest, write_manifest
from assetflow.load.settings import read_settings
from assetflow.model.automation import OnUpdate
from assetflow.model.jobs import Job, jobs_of
from assetflow.model.sensors import SensorSpec
from tests.unit.load.conftest import Write

SHOP = """
    from assetflow import Resource, RunRequest, asset, job, on_update, schedule, sensor

    class Mailbox(Resource):
        host: str = "mail.example"

    @asset
    def orders() -> int:
        return 1

    nightly = job("nightly", orders, cron="0 6 * * *", tz="Europe/London", catchup="all", partitions="tick",
                  on=on_update(orders, project="../warehouse", env="prod"), config={"orders": {"base": "EUR"}})
    others = [job("hourly", "+orders", cron="@hourly", enabled=False, max_active_runs=2)]

    @schedule("0 7 * * *", tz="Asia/Kolkata", max_active_runs=3)
    def mornings(at):
        return RunRequest("orders")

    @sensor(every="5m", timeout=20, env="prod")
    def letters(context, mailbox: Mailbox):
        '''New letters.'''
        yield RunRequest("orders")
"""


def test_jobs_of_modules_are_those_that_the_project_file_would_have(load: Callable[..., Loaded], write: Write) -> None:
    loaded = load('[jobs.weekly]\ncron = "@weekly"\n', assets=SHOP)

    root = write('[jobs.weekly]\ncron = "@weekly"\n', assets=SHOP)
    settings = read_settings(root, environment={})
    write_manifest(settings, loaded)
    found = declared(settings)
    manifest = read_manifest(settings)

    assert jobs_of(found.settings.jobs) == (
        Job("hourly", "@hourly", select="+orders", enabled=False, max_active_runs=2),
        Job("mornings", "0 7 * * *", "Asia/Kolkata", is_function=True, max_active_runs=3),
        Job("nightly", "0 6 * * *", "Europe/London", "orders", "all", {"orders": {"base": "EUR"}}, partitions="tick",
            on_update=(OnUpdate(("orders",), "../warehouse", "prod"),)),
        Job("weekly", "@weekly"),
    )  # fmt: skip
    assert manifest is not None
    assert manifest.automation == loaded.automation.automation
    assert [
        (one.name, one.every_s, one.timeout_s, one.env, one.description) for one in manifest.automation.sensors
    ] == [("letters", 300, 20, "prod", "New letters.")]
    assert str(found.settings.place("jobs", "nightly", "cron")) == "assets.py:11"
    assert isinstance(manifest.automation.sensors[0], SensorSpec)


def test_the_same_in_the_project_file(write: Write) -> None:
    root = write(
        """
        [jobs.nightly]
        select = "orders"
        partitions = "latest:2"
        on_update = ["orders", { assets = ["a", "b"], project = "../warehouse", env = "prod" }]
        """,
        assets="",
    )

    assert jobs_of(read_settings(root, environment={}).jobs) == (
        Job("nightly", select="orders", partitions="latest:2",
            on_update=(OnUpdate(("orders",)), OnUpdate(("a", "b"), "../warehouse", "prod"))),
    )  # fmt: skip


def test_a_mistake_in_a_job_is_that_of_the_file_at_the_line_of_the_module(
    problems: Callable[..., list[str]],
) -> None:
    found = problems(
        '[jobs.weekly]\ncron = "@weekly"\n',
        assets="""
        from assetflow import asset, job, schedule, sensor

        @asset
        def orders() -> int:
            return 1

        a = job("a", "orders", cron="0 25 * * *")
        b = job("b", "orders and", cron="@daily")
        c = job("c", "orders")
        d = job("weekly", "orders", cron="@daily")
        e = [job("auto", cron="@daily"), job("a b", cron="@daily")]

        @sensor(every=0)
        def f(context, orders):
            return None

        @sensor()
        async def g(context):
            return None
        """,
    )

    said = [text.partition("\n")[0] for text in found]
    assert said == [
        "`jobs.a.cron`: the hour field `25` is not one that cron takes (0-23); write five fields, such as "
        '"0 6 * * 1-5" for 06:00 on working days',
        "`jobs.b.select`: `orders and` ends where a selection was expected",
        "the job `c` has no `cron`",
        "job `weekly`: there is a job or a sensor of this name already",
        "job `a b`: job or sensor `a b` is not a legal name",
        "job `auto`: the runs of assets with auto= are recorded by this name",
        "sensor `f`: every= is not a time",
        "sensor `f` takes `orders`, and there is one thing to take beside resources",
        "sensor `g` is `async def`",
    ]
    assert all("assets.py:" in text for text in found)


def test_two_of_one_name_are_refused_whatever_they_are(problems: Callable[..., list[str]]) -> None:
    found = problems(
        assets="""
        from assetflow import asset, job, sensor

        @asset
        def orders() -> int:
            return 1

        first = job("orders_job", cron="@daily")

        @sensor(name="orders_job")
        def second(context):
            return None
        """
    )

    assert [text.splitlines()[:2] for text in found] == [
        ["sensor `orders_job`: there is a job or a sensor of this name already", "  the other one is at assets.py:8"]
    ]
