"""The bytes of a file to the DICOM elements that a slice needs, or BadSlice.

A walk of our own over the elements (PS3.5, chapter 7), and not pydicom's reader: files come from anywhere and are read
by threads, but pydicom builds an object for every nested item (a deflated file of 100 kB can make it ask for 6 GB),
recurses into sequences, inflates without a bound, and warns from deep inside, which cannot be silenced for one thread
alone. The walk is flat and bounded, copies the few values that are wanted, and steps over the rest. The tests hold it
against pydicom.
"""

import os
import re
import stat
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import nan
from pathlib import Path
from string import ascii_uppercase

from ich.ct.refusal import BadSlice, Reason, printable

MAX_BYTES = 64 * 2**20
"""Of a file, and of a data set after inflating: four times the largest slice (2048 x 2048 at 32 bits)."""
HEADER_BYTES = 2**15
"""Read first where only the header is wanted; a header with more before its pixels is read whole."""
UNNAMED = "(bytes)"
"""The path of bytes that came without one."""
MAX_ELEMENTS = 200_000
"""Walked over in one file, nested ones included: 0.2 s."""

MAX_TEXT = 1024
"""Letters of a value that is text: an id of a hundred thousand is damage, and no table can hold it."""

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


class Tag:
    """The elements that are read, (group, element) as one number."""

    IMAGE_TYPE, RECOGNITION_CODE = 0x0008_0008, 0x0008_0010
    SOP_CLASS, SOP_INSTANCE = 0x0008_0016, 0x0008_0018
    MODALITY, SERIES_DESCRIPTION = 0x0008_0060, 0x0008_103E
    PATIENT_ID, STUDY_INSTANCE, SERIES_INSTANCE = 0x0010_0020, 0x0020_000D, 0x0020_000E
    POSITION, ORIENTATION, PIXEL_SPACING = 0x0020_0032, 0x0020_0037, 0x0028_0030
    SAMPLES_PER_PIXEL, PHOTOMETRIC = 0x0028_0002, 0x0028_0004
    NUMBER_OF_FRAMES, ROWS, COLUMNS = 0x0028_0008, 0x0028_0010, 0x0028_0011
    BITS_ALLOCATED, BITS_STORED = 0x0028_0100, 0x0028_0101
    HIGH_BIT, PIXEL_REPRESENTATION = 0x0028_0102, 0x0028_0103
    RESCALE_INTERCEPT, RESCALE_SLOPE, RESCALE_TYPE = 0x0028_1052, 0x0028_1053, 0x0028_1054
    MODALITY_LUT, FLOAT_PIXELS, DOUBLE_PIXELS = 0x0028_3000, 0x7FE0_0008, 0x7FE0_0009


_WANTED = frozenset(value for value in vars(Tag).values() if isinstance(value, int))
_TRANSFER_SYNTAX = 0x0002_0010
PIXEL_DATA = 0x7FE0_0010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_UNDEFINED = 0xFFFF_FFFF
_VRS = frozenset(bytes(letters) for letters in product(ascii_uppercase.encode(), repeat=2))
"""What may be one; the standard names 34 of them."""
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""Their length has four bytes, behind two of reserve (PS3.5, table 7.1-1)."""
_STRUCTS = tuple((struct.Struct(order + "HH2sH").unpack_from, struct.Struct(order + "I").unpack_from) for order in "<>")
"""Group, element, VR and a short length; a long length: in little endian, and in big."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelData:
    """Where the value of PixelData lies: from `start`, `length` bytes; None: in fragments, up to a delimiter."""

    start: int
    length: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """What a file holds: raw values by tag, where its pixels are, and how they are encoded.

    `data` are the file's first bytes (after inflating), `size` counts all. `cut`: they end inside an element that
    stands before the pixels.
    """

    path: str
    data: bytes
    size: int
    transfer_syntax: str
    big_endian: bool
    values: dict[int, bytes]
    pixels: PixelData | None
    cut: bool

    def bad(self, reason: Reason, detail: str) -> BadSlice:
        return BadSlice(self.path, reason, detail)

    def text(self, tag: int) -> str:
        """As text, empty where it is absent; Latin-1 reads any byte. Raises BadSlice where no table can hold it."""
        value = self.values.get(tag, b"")
        if len(value) > MAX_TEXT:
            detail = f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has {len(value):,} letters, where 64 are usual"
            raise self.bad("bad_header", f"element {detail}; export the file again")
        return printable(value.decode("latin-1").strip(" \0\t\r\n"))

    def integer(self, tag: int) -> int | None:
        """A binary whole number without a sign (US, UL)."""
        value = self.values.get(tag)
        if value is None or len(value) not in (2, 4):
            return None
        return int.from_bytes(value, "big" if self.big_endian else "little")

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Decimal numbers in text (DS, IS), none where it is absent; what is no number becomes nan."""
        return _to_numbers(self.text(tag))


@lru_cache(maxsize=1024)
def _to_numbers(text: str) -> tuple[float, ...]:
    """Kept: most numbers are the same on all slices of a series."""
    parts = [part.strip() for part in text.split("\\")]
    return () if parts == [""] else tuple(float(part) if _NUMBER.fullmatch(part) else nan for part in parts)


def read_elements(source: Path | str | bytes, *, name: str | None = None, header_only: bool = False) -> Elements:
    """Parse a file or its bytes. With `header_only` no pixels are read, unless something wanted stands behind them.

    Raises BadSlice: empty, not_dicom, bad_header, bad_size (of what a deflated data set inflates to), truncated. A file
    that cannot be opened is `not_dicom`, so that a loop over a folder has one exception to catch.
    """
    path = name or (UNNAMED if isinstance(source, bytes) else str(source))
    data, size = _load(source, path, HEADER_BYTES if header_only else MAX_BYTES)
    elements = _parse(path, data, size)
    incomplete = elements.pixels is None or not elements.values.keys() >= {Tag.RESCALE_INTERCEPT, Tag.RESCALE_SLOPE}
    if header_only and incomplete and len(data) < size:
        return _parse(path, *_load(source, path, MAX_BYTES))
    return elements


def _load(source: Path | str | bytes, path: str, limit: int) -> tuple[bytes, int]:
    """The first `limit` bytes of a file, and the number of all."""
    if isinstance(source, bytes):
        return source[:MAX_BYTES], len(source)
    try:
        facts = os.stat(source)  # noqa: PTH116  (a Path takes longer to make than the file to open)
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for ever
            raise BadSlice(path, "not_dicom", "this is a folder or a device, and no file")
        with open(source, "rb") as file:  # noqa: PTH123
            data = file.read(min(limit, facts.st_size))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        what = error.strerror if isinstance(error, OSError) else error
        raise BadSlice(path, "not_dicom", f"the file cannot be read: {what}") from error
    return data, facts.st_size if len(data) == limit else len(data)


def _parse(path: str, data: bytes, size: int) -> Elements:
    if not data:
        raise BadSlice(path, "empty", "the file has no bytes; copy or export it again")
    position = _dataset_start(path, data)
    transfer_syntax, position = _read_meta(path, data, position)
    if transfer_syntax == DEFLATED:
        whole = len(data) == size
        data = _inflate(path, data[position:], whole=whole)
        position, size = 0, len(data) if whole else MAX_BYTES
    first = data[position : position + 6]
    big_endian = first[:1] == b"\0" != first[1:2]  # group 0008 is 00 08 in big endian
    if transfer_syntax and first and big_endian != (transfer_syntax == BIG_ENDIAN):
        detail = f"the elements are {'big' if big_endian else 'little'} endian, and not as {transfer_syntax} says"
        raise BadSlice(path, "bad_header", f"{detail}; export the file again")
    explicit = first[4:] in _VRS or transfer_syntax not in ("", IMPLICIT)
    walk = _Walk(path, data, position, explicit=explicit, big_endian=big_endian)
    values, pixels, cut = walk.collect(size)
    if b"ACR-NEMA" in values.get(Tag.RECOGNITION_CODE, b""):
        raise BadSlice(path, "bad_header", "this is ACR-NEMA, which came before DICOM; convert it to DICOM")
    return Elements(
        path=path,
        data=data,
        size=size,
        transfer_syntax=transfer_syntax,
        big_endian=big_endian,
        values=values,
        pixels=pixels,
        cut=cut,
    )


def _dataset_start(path: str, data: bytes) -> int:
    """Behind the preamble (PS3.10, 7.1); or 0 for a bare data set that begins as one does: with group 0002 or 0008."""
    if data[128:132] == b"DICM":
        return 132
    begins = data[:2] in (b"\x02\0", b"\x08\0") and data[3:4] == b"\0"
    length = int.from_bytes(data[4:8], "little")
    if len(data) < 132 or not begins or not (data[4:6] in _VRS or length < len(data)):
        raise BadSlice(path, "not_dicom", "there is no DICM at byte 128: another kind of file, or a failed download")
    return 0


def _read_meta(path: str, data: bytes, position: int) -> tuple[str, int]:
    """The transfer syntax in the file meta group 0002, empty where it has none, and where the group ends."""
    transfer_syntax = b""
    walk = _Walk(path, data, position, explicit=True, big_endian=False)
    while data[walk.position : walk.position + 2] == b"\x02\0" and len(data) >= walk.position + 12:
        tag, start, length = walk.step()
        walk.position = start + length
        if tag == _TRANSFER_SYNTAX:
            transfer_syntax = data[start : walk.position]
    return transfer_syntax[:MAX_TEXT].decode("latin-1").strip(" \0"), walk.position


def _inflate(path: str, data: bytes, *, whole: bool) -> bytes:
    """A deflated data set (PS3.5, A.5), up to MAX_BYTES; of less than the `whole` file, what can be inflated."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise BadSlice(path, "bad_header", f"the deflated data are damaged ({error}); export the file again") from error
    if stream.unconsumed_tail:
        raise BadSlice(path, "bad_size", f"it inflates to more than the {MAX_BYTES:,} bytes of one slice; leave it out")
    if whole and not stream.eof:
        raise BadSlice(path, "truncated", "the deflated data end too early; copy or export the file again")
    return inflated


class _Walk:
    """A position in encoded elements."""

    __slots__ = ("begin", "data", "explicit", "left", "length", "path", "position")

    def __init__(self, path: str, data: bytes, position: int, *, explicit: bool, big_endian: bool) -> None:
        self.path, self.data, self.position, self.explicit = path, data, position, explicit
        self.begin, self.length = _STRUCTS[big_endian]
        self.left = MAX_ELEMENTS

    def step(self) -> tuple[int, int, int]:
        """Tag, start of the value and length of the element at the position. Raises struct.error where the data end."""
        group, number, vr, length = self.begin(self.data, self.position)
        start = self.position + 8
        # Some writers switch to implicit elements in the middle of explicit ones; items have no VR at all.
        if not self.explicit or group == 0xFFFE or vr not in _VRS:
            (length,) = self.length(self.data, start - 4)
        elif vr in _LONG_VRS:
            (length,) = self.length(self.data, start)
            start += 4
        self.left -= 1
        if not self.left:
            detail = f"there are more than {MAX_ELEMENTS:,} elements, where one slice has hundreds"
            raise BadSlice(self.path, "bad_header", f"{detail}; leave it out")
        return group << 16 | number, start, length

    def collect(self, size: int) -> tuple[dict[int, bytes], PixelData | None, bool]:
        """The wanted values, PixelData, and whether the data end inside an element before it."""
        values: dict[int, bytes] = {}
        pixels = None
        try:
            while self.position < len(self.data):
                tag, start, length = self.step()
                if pixels and not tag:
                    break  # zeros behind the pixels are padding
                if tag == PIXEL_DATA:
                    pixels = PixelData(start=start, length=None if length == _UNDEFINED else length)
                self.position = start + length if length != _UNDEFINED else self._behind_items(start)
                if tag in _WANTED and self.position <= len(self.data):
                    value = self.data[start : self.position]
                    if values.setdefault(tag, value) != value:
                        where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
                        raise BadSlice(self.path, "bad_header", f"element {where} stands twice, with different values")
        except struct.error:
            return values, pixels, pixels is None
        return values, pixels, pixels is None and self.position > size

    def _behind_items(self, position: int) -> int:
        """Where an element of undefined length ends.

        Sequences and their items open and close by turns, so one count does for both.
        """
        depth = 1
        while depth:
            self.position = position
            tag, position, length = self.step()
            if tag in (_SEQUENCE_END, _ITEM_END):
                depth -= 1
            elif length == _UNDEFINED:
                depth += 1
            else:
                position += length
        return position
