"""What a packed body may hold, found out before anything is built from it.

A few hundred bytes can nest a thousand levels, and every item costs many times its bytes once it is an object. Both are
bounded here, for bodies that are written as well as read: what would be refused on the worker is refused at dispatch.
"""

from __future__ import annotations

from typing import Final

MAX_DEPTH: Final = 32
"""Containers within each other, the outermost included."""

MAX_ITEMS: Final = 50_000
"""Items of all lists, tuples and sets, and keys and values of all dicts, together."""

ARRAY_CODES: Final = range(1, 16)
"""The Ext codes whose payload is one msgpack array: a container like any other."""

_MAP, _ARRAY, _STR = range(0x80, 0x90), range(0x90, 0xA0), range(0xA0, 0xC0)
_ARRAY_16, _ARRAY_32, _MAP_16, _MAP_32 = 0xDC, 0xDD, 0xDE, 0xDF
_FIXEXT_HEADER: Final = 2
_FIXEXT: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_EXT: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_BLOB: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_NUMBER: Final = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}

_OPENING: Final = {*_MAP, *_ARRAY, _ARRAY_16, _ARRAY_32, _MAP_16, _MAP_32, *_FIXEXT, *_EXT}
_NOT_OPENING: Final = bytes(set(range(256)) - _OPENING)


def _size(lead: int) -> int:
    if lead in _STR:
        return 1 + (lead & 0x1F)
    if lead in _OPENING or lead in _BLOB:
        return 0
    return _NUMBER.get(lead, 1)


_SIZE: Final = tuple(_size(lead) for lead in range(256))
"""Bytes that an item takes, by its first byte; 0 where that byte alone does not tell."""


def check(packed: bytes) -> None:
    """Refuse what nests too deeply or holds too much.

    A body without more than `MAX_DEPTH` bytes that could open a container cannot nest deeper, and one of no more than
    `MAX_ITEMS` bytes cannot hold more items: nearly every body passes by being counted in C, and only others are scanned.

    Raises:
        ValueError: it is over a limit, or is found to be broken while it is scanned.
    """
    size = len(packed)
    if size > MAX_DEPTH and (size > MAX_ITEMS or len(packed.translate(None, _NOT_OPENING)) > MAX_DEPTH):
        try:
            _scan(packed)
        except IndexError:
            raise ValueError("it ends too early") from None


def _scan(packed: bytes) -> None:
    at = items = 0
    left, outer = 1, list[int]()
    sizes = _SIZE
    while True:
        while left and (size := sizes[packed[at]]):
            at += size
            left -= 1
        if not left:
            if not outer:
                return
            left = outer.pop()
            continue
        left -= 1
        lead = packed[at]
        if width := _BLOB.get(lead):
            at += 1 + width + _number(packed, at + 1, width)
            continue
        if lead in _FIXEXT or lead in _EXT:
            width = _EXT.get(lead, 0)
            length = _number(packed, at + 1, width) if width else _FIXEXT[lead]
            payload = at + _FIXEXT_HEADER + width
            if packed[payload - 1] not in ARRAY_CODES:
                at = payload + length
                continue
            # The array inside is the container; a lead that is none would let headers nest without being counted.
            at, lead = payload, packed[payload]
            if lead not in _ARRAY and lead not in (_ARRAY_16, _ARRAY_32):
                raise ValueError("a container's payload is not an array")
        if lead in _MAP or lead in _ARRAY:
            count, header = lead & 0x0F, 1
        else:
            width = 2 if lead in (_ARRAY_16, _MAP_16) else 4
            count, header = _number(packed, at + 1, width), 1 + width
        at += header
        count *= 2 if lead in _MAP or lead in (_MAP_16, _MAP_32) else 1
        items += count
        if items > MAX_ITEMS:
            raise ValueError(f"it holds more than {MAX_ITEMS:,} items")
        outer.append(left)
        left = count
        if len(outer) > MAX_DEPTH:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")


def _number(packed: bytes, at: int, width: int) -> int:
    return int.from_bytes(packed[at : at + width], "big")
