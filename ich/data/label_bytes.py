"""The challenge's CSV at full size: 4,516,842 rows of six shapes, read as machine words.

    ID_000012eaf_epidural,0

Only a flawless table of this shape is read here. Anything else is left to the careful reader of `labels`, which says
what is wrong and where.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import UInt64

from ich.findings import FINDINGS

BLOCK = 1 << 20
"""Bytes at a time: what is made of them stays in the processor's cache."""
PREFIX, DIGITS = b"ID_", 9
"""An image is called ID_ and nine hexadecimal digits, in small letters."""
WORD = 8
PAD = b"\0" * 64
"""Behind a block, so that words read at its end stay inside."""

Rows = UInt64[np.ndarray, " rows"]
"""A number a row: the image's digits, then 3 bits of the finding and 1 of the label. Sorted, they stand in sixes."""


def _word(text: bytes) -> int:
    return int.from_bytes(text, "little")


def _every(byte: int) -> np.uint64:
    """A word of equal bytes."""
    return np.uint64(_word(bytes([byte]) * WORD))


_U = np.uint64
_ALL = _every(0xFF)
_LABEL = _U(_word(b"\0\0\0\0\0\0\0\1"))
"""The bit in which a row that ends with 1 differs from one that ends with 0."""
_SUFFIXES = [f"_{finding},0".encode() for finding in FINDINGS]
_LENGTH = np.array([len(PREFIX) + DIGITS + len(suffix) for suffix in _SUFFIXES])
_LAST = [_U(_word(suffix[-WORD:].rjust(WORD, b"\0"))) for suffix in _SUFFIXES]
_LAST_MASK = [_U(_word((b"\xff" * len(suffix[-WORD:])).rjust(WORD, b"\0"))) for suffix in _SUFFIXES]
# What the last word does not hold; where it holds all, there is nothing to compare.
_FIRST, _NEXT = (np.array([_word(suffix[at : at + WORD]) for suffix in _SUFFIXES], "u8") for at in (0, WORD))
_FIRST_MASK, _NEXT_MASK = (
    np.array([_ALL if len(suffix) > at + WORD else 0 for suffix in _SUFFIXES], "u8") for at in (0, WORD)
)


def read_flawless(path: Path) -> pd.DataFrame | None:
    """The wide table in the order of its ids; None where the file is anything but a flawless one of this shape.

    Rows may come in any order, and equal rows twice.
    """
    try:
        with path.open("rb") as file:
            blocks = [_pack(block, end) for end, block in _lines(file)]
    except (OSError, ValueError):
        return None
    rows = np.concatenate([np.zeros(0, "u8"), *blocks])
    del blocks
    rows.sort()
    rows = rows[np.append(True, rows[1:] != rows[:-1])[: len(rows)]]
    if not len(rows) or len(rows) % len(FINDINGS):
        return None
    images = rows.reshape(-1, len(FINDINGS))
    expected = (images[:, :1] >> _U(4) << _U(3)) + np.arange(len(FINDINGS), dtype="u8")
    if not np.array_equal(images >> _U(1), expected):
        return None
    index = pd.Index(_names(images[:, 0] >> _U(4)).to_pandas(), name="image_id")
    return pd.DataFrame((images & _U(1)).astype(np.uint8), index=index, columns=list(FINDINGS))


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Whole lines below the header, a block at a time, and what ends each. Raises ValueError where there are none."""
    header = file.readline(64).removeprefix(b"\xef\xbb\xbf")
    end = header.removeprefix(b"ID,Label")
    if end not in (b"\n", b"\r\n") or len(end) == len(header):
        raise ValueError("another header")
    rest = b""
    while chunk := file.read(BLOCK):
        block = rest + chunk
        whole = block.rfind(b"\n") + 1
        if not whole:
            raise ValueError("no lines")
        yield end, block[:whole] + PAD
        rest = block[whole:]
    if rest:
        yield end, rest + end + PAD


def _pack(block: bytes, end: bytes) -> Rows:
    """The rows of a block; raises ValueError at the first other shape."""
    text = np.frombuffer(block, np.uint8)
    words = np.ndarray(len(block) - WORD, "<u8", block, strides=(1,))
    ends = np.flatnonzero(text == ord("\n"))
    starts = np.append(0, ends[:-1] + 1)
    ends -= len(end) - 1
    length = ends - starts
    if length.min() < _LENGTH.min():
        raise ValueError("a short line")
    last = words[ends - WORD]
    plain = last & ~_LABEL
    finding = np.full(len(ends), len(FINDINGS))
    for number, (word, mask) in enumerate(zip(_LAST, _LAST_MASK, strict=True)):
        finding[plain & mask == word] = number
    if finding.max() == len(FINDINGS) or not np.array_equal(length, _LENGTH[finding]):
        raise ValueError("no finding")
    suffix = starts + len(PREFIX) + DIGITS
    for shift, expected, masks in ((0, _FIRST, _FIRST_MASK), (WORD, _NEXT, _NEXT_MASK)):
        if ((words[suffix + shift] ^ expected[finding]) & masks[finding]).any():
            raise ValueError("no finding")
    if len(end) == 2 and (text[ends] != ord("\r")).any():
        raise ValueError("other line ends")
    images = _digits(words[starts], words[suffix - WORD])
    return (images << _U(4)) | (finding.astype("u8") << _U(1)) | (last >> _U(56) & _U(1))


def _digits(head: Rows, tail: Rows) -> Rows:
    """The number of an image, from the first word of its name and the last."""
    if ((head & _U(0xFFFFFF)) != _word(PREFIX)).any():
        raise ValueError("no id")
    first = head >> _U(24) & _U(0xFF) | _word(b"\0" + b"0" * 7)
    return (_hexadecimal(first) >> _U(28) << _U(32)) | _hexadecimal(tail)


def _hexadecimal(words: Rows) -> Rows:
    """The value of eight digits each, all bytes of a word at once; raises ValueError where one is none."""
    nibbles = (words & _every(0x0F)) + _U(9) * (words >> _U(6) & _every(1))
    if ((nibbles & _every(0xF0)) | (_spelled(nibbles) ^ words)).any():
        raise ValueError("no hexadecimal digit")
    value = nibbles.byteswap()
    for shift, mask in ((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF)):
        value = (value | value >> _U(shift)) & _U(mask)
    return value


def _spelled(nibbles: Rows) -> Rows:
    """Bytes below 16 as digits; from ten on they are letters, 39 further on."""
    letters = (nibbles + _every(6)) >> _U(4) & _every(1)
    return nibbles + _every(ord("0")) + _U(39) * letters


def _names(images: Rows) -> pa.Array:
    """Image numbers as text."""
    length = len(PREFIX) + DIGITS
    text = np.empty((len(images), length), np.uint8)
    text[:, : len(PREFIX)] = np.frombuffer(PREFIX, np.uint8)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    for place in range(DIGITS):
        text[:, len(PREFIX) + place] = digits[images >> _U(4 * (DIGITS - 1 - place)) & _U(15)]
    offsets = np.arange(0, text.size + 1, length, dtype=np.int32)
    return pa.StringArray.from_buffers(len(images), pa.py_buffer(offsets), pa.py_buffer(text))
