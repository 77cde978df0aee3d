"""Messages between our own processes: a length, then a pickle in which there is nothing but plain values and our own.

What user code returns, raises or names can be an object of any class, and a class may be one that only one of the two
processes can import. So the sender turns what is not plain into text, and the receiver refuses every other class.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

_HEADER = struct.Struct("!Q")
_OURS = "assetflow."
_KNOWN = frozenset(["pathlib", "datetime", "decimal", "_codecs"])
_BUILTINS = frozenset(
    [
        "str",
        "bytes",
        "int",
        "float",
        "tuple",
        "list",
        "dict",
        "set",
        "frozenset",
        "bytearray",
        "complex",
        "range",
        "slice",
    ]
)
_PLAIN: Mapping[type[Any], Callable[[Any], object]] = {
    str: str.__str__, bytes: bytes.__bytes__, int: int.__index__, float: float.__float__,
    **{base: lambda value, base=base: [*base.__iter__(value)] for base in cast("list[Any]", [tuple, list, set])},
}  # fmt: skip
"""What an object of a user's class becomes; the methods are those of the base, whatever the class made of them."""


class _Plain(pickle.Pickler):
    """A pickler for which objects of foreign classes are what they look like: their plain base, or their text."""

    def reducer_override(self, obj: Any, /) -> Any:
        """How an object crosses that pickle would not write by itself."""
        if isinstance(obj, type):
            kind = cast("type[object]", obj)
            return NotImplemented if _crosses(kind.__module__, kind.__qualname__) else (str, (_text(kind),))
        if _crosses(type(obj).__module__, type(obj).__qualname__):
            return NotImplemented
        if isinstance(obj, Mapping):
            return dict, (list(cast("Mapping[object, object]", obj).items()),)
        for base, plain in _PLAIN.items():
            if isinstance(obj, base):
                return base, (plain(obj),)
        return str, (_text(obj),)


class _Reader(pickle.Unpickler):
    """An unpickler that knows our own classes and plain ones."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The class of that name.

        Raises:
            pickle.UnpicklingError: it is none of those that messages are made of.
        """
        if _crosses(module_name, global_name):
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is no part of a message")


def _crosses(module: str, name: str) -> bool:
    return (
        module.startswith(_OURS) or module.partition(".")[0] in _KNOWN or (module == "builtins" and name in _BUILTINS)
    )


def _text(value: object) -> str:
    try:
        return str(repr(value))
    except Exception as error:  # noqa: BLE001 - the class of the user says how its objects look
        return f"<{type(value).__name__}, whose text could not be read: {type(error).__name__}>"


def to_bytes(message: object) -> bytes:
    """The message as bytes; what is not plain is turned into text."""
    stream = io.BytesIO()
    _Plain(stream, protocol=5).dump(message)
    return stream.getvalue()


def from_bytes(data: bytes) -> Any:
    """The message that `to_bytes` wrote.

    Raises:
        pickle.UnpicklingError: the bytes are not such a message.
    """
    return _Reader(io.BytesIO(data)).load()


def send(connection: socket.socket, message: object, descriptors: Sequence[int] = ()) -> None:
    """Send a message, and open files along with it.

    Raises:
        OSError: the other process is gone.
    """
    data = to_bytes(message)
    header = _HEADER.pack(len(data))
    if descriptors:
        socket.send_fds(connection, [header], list(descriptors))
        connection.sendall(data)
    else:
        connection.sendall(header + data)


def receive(connection: socket.socket, most_descriptors: int = 0) -> tuple[Any, list[int]]:
    """The next message, and the open files that came along.

    Raises:
        EOFError: the other process is gone.
        OSError: the connection is broken.
    """
    descriptors: list[int] = []
    header = b""
    if most_descriptors:
        header, descriptors, _, _ = socket.recv_fds(connection, _HEADER.size, most_descriptors)
    header += _exactly(connection, _HEADER.size - len(header), is_first=not header)
    (length,) = _HEADER.unpack(header)
    return from_bytes(_exactly(connection, length)), descriptors


def _exactly(connection: socket.socket, count: int, *, is_first: bool = False) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other process is gone" if is_first and not parts else "a message was cut short")
        parts += part
    return bytes(parts)
