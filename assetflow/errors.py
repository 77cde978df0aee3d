"""Every error a user can see: one tree, one code and one exit code each, always with the fix.

The docstring of a class is the page that `assetflow explain CODE` prints. Exit codes:

    1 an asset or a blocking check failed    5 conflict with another run or process
    2 usage                                  6 damaged storage or catalog
    3 the project is not valid               7 catalog written by a newer version
    4 an --exit-code predicate is true      70 internal error      75 try again later
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar


class Location:
    """A place in a user's file: `line` and `column` count from 1; `length` is the caret's width."""

    __slots__ = ("column", "file", "length", "line")

    def __init__(self, file: str, line: int, column: int = 0, length: int = 1) -> None:
        self.file, self.line, self.column, self.length = file, line, column, length

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and self.as_tuple() == other.as_tuple()

    def __hash__(self) -> int:
        return hash(self.as_tuple())

    def as_tuple(self) -> tuple[str, int, int, int]:
        """File, line, column, length: the order in which places are sorted and stored."""
        return (self.file, self.line, self.column, self.length)


class AssetflowError(Exception):
    """Base of every error that assetflow raises on purpose."""

    code: ClassVar[str] = "AF000"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        facts: Sequence[str] = (),
        fix: str | None = None,
        where: Location | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.facts = tuple(facts)
        self.fix = fix
        self.where = where

    def __str__(self) -> str:
        lines = [self.what, *(f"  {fact}" for fact in self.facts)]
        if self.where is not None:
            lines.append(f"  at {self.where}")
        if self.fix:
            lines.append(f"  help: {self.fix}")
        return "\n".join(lines)


class UsageError(AssetflowError):
    """A command or a call was given something that it does not take."""

    code = "AF001"
    exit_code = 2


class ProjectNotFound(AssetflowError):
    """No `assetflow.toml` and no `[tool.assetflow]` was found here or in a folder above.

    Run the command inside a project, name one with `-C DIR`, or make one with `assetflow init DIR`.
    """

    code = "AF002"
    exit_code = 2


class NoSuchAsset(AssetflowError):
    """A selection or a call names an asset that the project does not declare."""

    code = "AF021"
    exit_code = 2


class SelectionSyntaxError(AssetflowError):
    """A selection such as `+orders and tag:gold` could not be read.

    The caret shows where reading stopped, and the message says what could stand there.
    """

    code = "AF022"
    exit_code = 2


class VersionInSelection(AssetflowError):
    """`@` means a version in assetflow (`orders@3`); dbt's `@orders` is written `+(orders+)` here."""

    code = "AF023"
    exit_code = 2


class NoSuchVersion(AssetflowError):
    """A version was asked for that does not exist, whose bytes are gone, or of an asset that has none yet.

    `assetflow history ASSET` lists the versions and marks those that gc removed. `assetflow materialize ASSET` makes a
    first one. Equal content comes out again when the code and the inputs of a removed version are put back.
    """

    code = "AF024"
    exit_code = 2


class DefinitionError(AssetflowError):
    """Something that the project declares does not fit together."""

    code = "AF100"
    exit_code = 3


class ProjectLoadError(DefinitionError):
    """The project did not load. `problems` holds every problem that was found, root causes first."""

    code = "AF100"

    def __init__(self, problems: Sequence[DefinitionError]) -> None:
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the project")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([self.what, *(str(problem) for problem in self.problems)])


class UnknownParameter(DefinitionError):
    """A parameter of an asset function is not an asset, a source, a config, a resource or the context.

    Parameter names are the lineage: `def report(orders)` reads the asset `orders`. Rename the parameter,
    map it with `@asset(inputs={"order": "orders"})`, or annotate it with a `Config` or `Resource` class.
    """

    code = "AF101"


class IllegalName(DefinitionError):
    """A key, group, tag or environment has a name that assetflow does not accept.

    Keys are `name` or `schema.name`; both parts are ASCII identifiers, not Python keywords, at most 100 characters.
    """

    code = "AF102"


class AmbiguousName(DefinitionError):
    """A parameter name fits several assets, such as `orders` when both `raw.orders` and `marts.orders` exist.

    Say which one: `orders: Annotated[pd.DataFrame, In("marts.orders")]`.
    """

    code = "AF103"


class BadDeclaration(DefinitionError):
    """A declaration has an argument that assetflow cannot use."""

    code = "AF104"


class BadConfig(DefinitionError):
    """A value in the project file, the environment or `--set` is not what its setting takes."""

    code = "AF105"


class ImportFailed(DefinitionError):
    """A module of the project raised while it was imported, or could not be found, or took too long."""

    code = "AF106"


class Cycle(DefinitionError):
    """Assets need each other in a circle, so none of them can be built first."""

    code = "AF110"


class DuplicateKey(DefinitionError):
    """Two declarations use the same asset key (letter case does not make a difference)."""

    code = "AF120"


class WrongReturn(AssetflowError):
    """An asset function returned something other than what it declares or what can be stored."""

    code = "AF130"


class CannotStore(AssetflowError):
    """The IO manager of the asset cannot hold the returned value.

    Tables (anything with the Arrow C stream), JSON-able values, `bytes` and `Path` can be stored. Anything else needs
    `@asset(io="pickle")`, which is off until the project file says `allow_pickle = true`: reading a pickle runs code.
    """

    code = "AF131"


class NotExact(AssetflowError):
    """A column cannot be stored so that it comes back exactly. The message names the column and a way out."""

    code = "AF132"


class ContractBroken(AssetflowError):
    """An asset asked for columns that its upstream does not have."""

    code = "AF140"


class TypesDoNotFit(DefinitionError):
    """A parameter is annotated as something that its upstream never returns, such as a table for what returns `bytes`.

    All tables fit each other. `assetflow check` also asks about a parameter that is the partition before by its
    name alone, where a source has that name, too. `# assetflow: ignore[types]` on the line says that it is meant.
    """

    code = "AF141"


class CheckFailed(AssetflowError):
    """A blocking check failed: the new version is kept as `ASSET@rejected`, and the previous one is still current."""

    code = "AF150"


class AssetFailed(AssetflowError):
    """The function of an asset raised. The message shows the line of your code where it happened."""

    code = "AF160"


class AssetDied(AssetflowError):
    """The process of an asset was ended, by a limit, a crash or the system. Its previous version is untouched."""

    code = "AF161"


class StaticProblems(AssetflowError):
    """`assetflow check` found errors in the code of the project, or warnings with `--strict`.

    Each is shown with its place. `# assetflow: ignore[clock]` on the line takes a warning away.
    """

    code = "AF190"


class NotReproduced(AssetflowError):
    """`assetflow verify` ran an asset again on what its current version had read, and something else came out.

    With the same code, look for the clock, chance and the order of rows (`assetflow check ASSET` finds the usual ones),
    or for what no fingerprint sees: a database, an undeclared variable, a package. Nothing was stored.
    """

    code = "AF191"


class SourceMissing(AssetflowError):
    """The file, glob or token of a source is not there."""

    code = "AF201"


class SourceUnreadable(AssetflowError):
    """The file of a source is there but cannot be read in its format."""

    code = "AF202"


class SourceChanged(AssetflowError):
    """The file of a source changed while a run was reading it, so what was read is not what was recorded."""

    code = "AF203"
    exit_code = 75


class ReadsClock(DefinitionError):
    """The code of an asset reads the clock, so its result depends on when it runs, and `current` cannot be trusted.

    Take the time from the data, or from a source with `version=`. Where it does not reach the result (a log line),
    write `# assetflow: ignore[clock]` on that line.
    """

    code = "AF210"


class DependsOnChance(DefinitionError):
    """The code of an asset uses random numbers without a fixed seed, so it comes out differently every time.

    Give the generator a seed: `numpy.random.default_rng(7)`, `random.Random(7)`, `frame.sample(n=3, random_state=7)`.
    """

    code = "AF211"


class ReadsEnvironment(DefinitionError):
    """The code of an asset reads the environment: variables, the working directory, the name of the machine.

    A change of it is not seen: declare it with `@asset(env=["REGION"])`, or make it a field of a `Config`.
    """

    code = "AF212"


class UsesNetwork(DefinitionError):
    """The code of an asset fetches something, and a change of what is there is not seen.

    Declare it as `source(key, version=..., load=...)`. A client for writing belongs into a `Resource`.
    """

    code = "AF213"


class ReadsFile(DefinitionError):
    """The code of an asset reads a file by its path: a change is only seen if Python itself opened it in the last run.

    Declare it: `source("rates", path="data/rates.csv")`, and take `rates` as a parameter.
    """

    code = "AF214"


class CodeNotSeen(DefinitionError):
    """A part of an asset's code could not be looked into, so it may run too often. `assetflow check -v` says which."""

    code = "AF216"


class RunConflict(AssetflowError):
    """Another run is materializing in the same environment, or another daemon waits for the ticks of the project.

    Wait for a run with `--wait 5m`, or run again when it has finished: what it built will then be current.
    """

    code = "AF301"
    exit_code = 5


class NewerCatalog(AssetflowError):
    """The catalog was written by a newer assetflow, which this one must not change."""

    code = "AF302"
    exit_code = 7


class Superseded(AssetflowError):
    """Another run moved the asset while this one computed; the newer version stays current."""

    code = "AF303"
    exit_code = 5


class CatalogBusy(AssetflowError):
    """The catalog stayed locked by another process for longer than the wait."""

    code = "AF304"
    exit_code = 75


class AssetPinned(AssetflowError):
    """A pinned asset stays at its version, so it is not run, not even with `--force`.

    `assetflow unpin ASSET` lets it go. `assetflow ls is:pinned` lists all that are pinned, also by a rollback.
    """

    code = "AF305"
    exit_code = 2


class PlanMoved(AssetflowError):
    """What `assetflow materialize --plan FILE` was to do is not what there is to do now, so nothing was run.

    Code, a source, or a version has changed since `assetflow plan -o FILE`; the message names what. Make it again. Or a
    module was saved while a run went on, and a child process loaded it: run again.
    """

    code = "AF306"
    exit_code = 5


class DiskFull(AssetflowError):
    """There was no room to write. The previous version is untouched and still current."""

    code = "AF401"


class NotWritable(AssetflowError):
    """The storage folder cannot be written (permissions, or a read-only file system)."""

    code = "AF402"


class StorageFailed(AssetflowError):
    """Reading or writing a stored version failed in the file system, or the storage folder is not there.

    See that the disk is mounted, whole and of this machine, then run the command again: what was committed is
    untouched. If the storage folder was deleted, make an empty one: the next `assetflow materialize` makes everything
    again. A damaged DuckDB file goes to the quarantine in that run.
    """

    code = "AF403"


class DamagedVersion(AssetflowError):
    """The bytes of a stored version are missing or are not what was recorded, so they are not shown as data.

    `assetflow doctor --deep` lists all that is damaged, and `assetflow doctor --deep --fix` moves it to the quarantine.
    The next `assetflow materialize` makes again what was current; earlier versions are in `assetflow history ASSET`.
    """

    code = "AF404"
    exit_code = 6


class DamagedCatalog(AssetflowError):
    """The catalog file is lost or cannot be read as a catalog. The stored versions are untouched.

    `assetflow doctor --rebuild-catalog` makes it again from its journal and from what the versions say of themselves;
    the old file goes to the quarantine. With `--from-backup` it begins with the newest backup, which has the history of
    runs, and is the way when the journal is gone too.
    """

    code = "AF405"
    exit_code = 6


class WarehouseLocked(AssetflowError):
    """Another program holds the DuckDB file open, and DuckDB allows only one that writes.

    Close that program (the message names it), or open the file read-only in it, and run the command again. Nothing was
    changed. With `duckdb = "views"` in the project file, programs open a small file of views over Parquet files.
    """

    code = "AF410"
    exit_code = 75


class QueryError(AssetflowError):
    """The SQL text given to `assetflow sql` or `Project.sql` could not be run."""

    code = "AF420"
    exit_code = 2


class SqlUnreadable(DefinitionError):
    """A text that an asset gives to DuckDB is not SQL. The message says where DuckDB's parser stopped."""

    code = "AF421"


class InternalError(AssetflowError):
    """A bug in assetflow. Please report it with the file that the message names."""

    code = "AF900"
    exit_code = 70


def near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like `name`, best first; a match on the last part of a dotted key counts too."""
    from difflib import get_close_matches

    candidates = list(known)
    tails = {key.rpartition(".")[2]: key for key in candidates}
    found = get_close_matches(name, candidates, n=count, cutoff=0.6)
    found += [tails[tail] for tail in get_close_matches(name.rpartition(".")[2], tails, n=count, cutoff=0.6)]
    return list(dict.fromkeys(found))[:count]


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """`did you mean `orders`?` for the nearest known name, or None when nothing is near."""
    near = near_names(name, known, 1)
    return f"did you mean `{near[0]}`?" if near else None


def error_classes() -> dict[str, type[AssetflowError]]:
    """Every error class by its code, in code order; the first class that has a code stands for it."""
    found: dict[str, type[AssetflowError]] = {}
    waiting: list[type[AssetflowError]] = [AssetflowError]
    while waiting:
        cls = waiting.pop(0)
        if cls is not AssetflowError:
            found.setdefault(cls.code, cls)
        waiting.extend(cls.__subclasses__())
    return dict(sorted(found.items()))
