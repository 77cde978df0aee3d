"""Resources of a run: made and set up when the first asset takes them, torn down once at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from assetflow.model.secrets import SECRETS

if TYPE_CHECKING:
    from assetflow.model.settings import Resource


class ResourcePool:
    """One object for each resource class, shared by all steps of a run."""

    def __init__(self, make: Callable[[type[Resource]], Resource]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._ready: dict[type[Resource], Resource] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was set up."""
        return not self._ready

    def get(self, cls: type[Resource]) -> Resource:
        """The resource of this class, set up; an exception of `set_up` reaches the asset that asked."""
        with self._lock:
            if cls not in self._ready:
                resource = self._make(cls)
                SECRETS.add_from(resource)
                resource.set_up()
                self._ready[cls] = resource
            return self._ready[cls]

    def close(self) -> list[BaseException]:
        """Tear all resources down, the last first; the exceptions of `tear_down`, none of which stops the others."""
        errors: list[BaseException] = []
        for resource in reversed(self._ready.values()):
            try:
                resource.tear_down()
            except Exception as error:  # noqa: BLE001 - user code; returned to be reported
                errors.append(error)
        self._ready.clear()
        return errors
