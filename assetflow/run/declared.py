"""What assets declare beside their code, looked at: the content of `files=`, the values of `env=`.

Files cost one `stat` each while they stay as they are; a variable's value is never kept, only a digest under a key that
lies beside the catalog and nowhere else.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.errors import SourceMissing
from assetflow.files import Files, storage_error
from assetflow.model.spec import AssetSpec
from assetflow.run.variables import salt_path, variable_digest

if TYPE_CHECKING:
    from assetflow.io.sources import FileState

_SALT_BYTES = 32


class DeclaredNow:
    """Looks at what specs declare; what had to be read of files is in `rehashed`."""

    def __init__(
        self,
        root: Path,
        catalog: Path,
        remembered: Callable[[], Mapping[str, FileState]],
        now_ns: int,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._root, self._catalog, self._environment = root, catalog, environment
        self._remembered, self._now_ns = remembered, now_ns
        self._digests: dict[str, str] = {}
        self._states: dict[str, tuple[FileState, ...]] = {}
        self.rehashed: dict[str, FileState] = {}

    def look(self, specs: Iterable[AssetSpec]) -> list[AssetSpec]:
        """Those of the specs that declare something, with what it is now."""
        return [
            replace(
                spec,
                files={name: self.file(name) for name in spec.files},
                env_vars={name: self.variable(name) for name in spec.env_vars},
            )
            for spec in specs
            if spec.files or spec.env_vars
        ]

    def file(self, declared: str) -> str:
        """The digest of the files that a path or a glob means, by their names below the project and their content."""
        if declared not in self._digests:
            self._digests[declared] = self._digest(declared)
        return self._digests[declared]

    def states(self, declared: str) -> tuple[FileState, ...]:
        """The files that a declaration was found to mean, after `file` was asked for it."""
        return self._states.get(declared, ())

    def pattern(self, declared: str) -> str:
        """The path or glob, absolute, of the files that a declaration means."""
        import glob

        path = self._root / declared
        if path.is_dir():
            return f"{glob.escape(str(path))}/**/*"
        has_pattern = any(mark in declared for mark in "*?[")
        return f"{glob.escape(str(self._root))}/{declared}" if has_pattern else str(path)

    def _digest(self, declared: str) -> str:
        from assetflow.io.sources import observe_files

        pattern = self.pattern(declared)
        remembered = self._remembered()
        try:
            files = observe_files(pattern, remembered, self._now_ns).files
        except SourceMissing:  # that nothing is there is a state too; the function will say what it needs
            files = ()
        self._states[declared] = files
        state = blake2b(digest_size=16)
        for one in files:
            if remembered.get(one.path) != one:
                self.rehashed[one.path] = one
            name = Path(one.path).relative_to(self._root).as_posix()
            state.update(os.fsencode(f"{name}\0{one.digest}\n"))  # no name holds a NUL
        return f"files:{state.hexdigest()}"

    def variable(self, name: str) -> str:
        """The digest of a variable's value under the key of the store; `unset` when it has none."""
        return variable_digest(name, self._environment, str(self._catalog))


def make_salt(catalog: Path) -> None:
    """Make the key of this store's digests of variables, readable by its owner alone, unless it is there.

    Raises:
        DiskFull, NotWritable, StorageFailed: the disk refused.
    """
    path = _salt_path(catalog)
    if path.exists():
        return
    files = Files()
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as out:
            out.write(secrets.token_bytes(_SALT_BYTES))
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # another process was faster, and its key is as good
            os.link(aside, path)
        files.sync_directory(path.parent)
    except OSError as error:
        raise storage_error("writing", path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _salt_path(catalog: Path) -> Path:
    return Path(salt_path(str(catalog)))
