"""Thrift's compact protocol, as far as the footer of a Parquet file needs it: structs as fields by their numbers.

Source: the Thrift compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_NUMBERS = (4, 5, 6)
_LONG_LIST = 15


class Many(Struct):
    """A list, with the type of what it holds."""

    kind: int
    items: list[Any]


Fields = dict[int, tuple[int, Any]]
"""A struct: the type and the value of each field by its number, in order."""


def number_of(fields: Fields, key: int) -> int | None:
    """The number in a field, or None when the struct has no such field."""
    found = fields.get(key)
    return None if found is None else int(found[1])


def set_number(fields: Fields, key: int, value: int) -> None:
    """Change the number in a field that is there."""
    fields[key] = (fields[key][0], value)


def decode(data: bytes) -> Fields:
    """The struct that the bytes begin with.

    Raises:
        ValueError, IndexError: they are none, or have types that Parquet does not use.
    """
    return _struct(data, 0)[0]


def encode(fields: Fields) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    _put_struct(out, fields)
    return bytes(out)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    byte = data[place]
    if byte < 0x80:
        return byte, place + 1
    found, shift = byte & 0x7F, 7
    while True:
        place += 1
        byte = data[place]
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, place + 1
        shift += 7


def _struct(data: bytes, place: int) -> tuple[Fields, int]:
    fields: Fields = {}
    key = 0
    while header := data[place]:
        place += 1
        kind, step = header & 0x0F, header >> 4
        if step:
            key += step
        else:
            raw, place = _varint(data, place)
            key = (raw >> 1) ^ -(raw & 1)
        if kind in (_TRUE, _FALSE):
            fields[key] = (kind, kind == _TRUE)
        else:
            value, place = _value(data, place, kind)
            fields[key] = (kind, value)
    return fields, place + 1


def _value(data: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind in _NUMBERS:
        raw, place = _varint(data, place)
        return (raw >> 1) ^ -(raw & 1), place
    if kind == _BINARY:
        size, place = _varint(data, place)
        if place + size > len(data):
            raise ValueError("it ends within a text")
        return data[place : place + size], place + size
    if kind == _STRUCT:
        return _struct(data, place)
    if kind in (_LIST, _SET):
        return _list(data, place)
    if kind in (_TRUE, _FALSE, _BYTE):  # in a list a truth value is a byte
        return data[place], place + 1
    if kind == _DOUBLE:
        return data[place : place + 8], place + 8
    raise ValueError(f"there is no type {kind} in a footer")


def _list(data: bytes, place: int) -> tuple[Many, int]:
    header = data[place]
    kind, size, place = header & 0x0F, header >> 4, place + 1
    if size == _LONG_LIST:
        size, place = _varint(data, place)
    items: list[Any] = []
    for _ in range(size):
        item, place = _value(data, place, kind)
        items.append(item)
    return Many(kind, items), place


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_number(out: bytearray, value: int) -> None:
    _put_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _put_struct(out: bytearray, fields: Fields) -> None:
    before = 0
    for key, (kind, value) in fields.items():
        if 0 < key - before <= _LONG_LIST:
            out.append((key - before) << 4 | kind)
        else:
            out.append(kind)
            _put_number(out, key)
        before = key
        if kind not in (_TRUE, _FALSE):
            _put_value(out, kind, value)
    out.append(0)


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _NUMBERS:
        _put_number(out, value)
    elif kind == _BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == _STRUCT:
        _put_struct(out, value)
    elif kind == _DOUBLE:
        out += value
    elif kind in (_LIST, _SET):
        size = len(value.items)
        out.append(min(size, _LONG_LIST) << 4 | value.kind)
        if size >= _LONG_LIST:
            _put_varint(out, size)
        for item in value.items:
            _put_value(out, value.kind, item)
    else:
        out.append(value)
