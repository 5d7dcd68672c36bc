"""Damage to files, by a seeded generator: the same seed gives the same bytes. Nothing but the standard library."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from random import Random
from typing import NoReturn

Damage = Callable[[bytearray, Random], None]

EXTREMES = (
    0,
    1,
    2,
    7,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFE,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFF0,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
HEADER = 4096
"""Where most of what a file says of itself stands."""


def _place(data: bytearray, random: Random) -> int:
    """Anywhere, and as often near the beginning or near the end."""
    near = min(len(data), HEADER)
    return (
        (len(data) - random.randint(1, near) if random.random() < 0.2 else random.randrange(near))
        if random.random() < 0.7
        else random.randrange(len(data))
    )


def flip_bits(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        data[_place(data, random)] ^= 1 << random.randrange(8)


def flip_inside(data: bytearray, random: Random) -> None:
    """Behind the header, where the pixels are, coded or not."""
    for _ in range(random.choice((1, 4, 64))):
        data[random.randrange(len(data) // 4, len(data))] ^= 1 << random.randrange(8)


def overwrite(data: bytearray, random: Random) -> None:
    """Bytes of one value, or any."""
    start, length = _place(data, random), random.choice((1, 2, 4, 16, 256))
    fill = random.choice((0, 0xFF, None))
    data[start : start + length] = random.randbytes(length) if fill is None else bytes([fill]) * length


def cut(data: bytearray, random: Random) -> None:
    del data[_place(data, random) :]


def take_out(data: bytearray, random: Random) -> None:
    start = _place(data, random)
    del data[start : start + random.choice((1, 2, 4, 8, 100, 5000))]


def repeat(data: bytearray, random: Random) -> None:
    start = _place(data, random)
    part = data[start : start + random.choice((1, 2, 8, 100, 5000))]
    data[start:start] = part * random.choice((1, 1, 2, 50))


def write_number(data: bytearray, random: Random) -> None:
    """An extreme number over two, four or eight bytes, in either order."""
    start, length = _place(data, random), random.choice((2, 4, 8))
    number = random.choice(EXTREMES) & (256**length - 1)
    data[start : start + length] = number.to_bytes(length, random.choice(("little", "big")))


GENERAL: Sequence[Damage] = (flip_bits, overwrite, cut, take_out, repeat, write_number)

# --- DICOM: elements in explicit little endian, which most files have

_ELEMENT = re.compile(rb"(?=([\x02-\x7f\xfe\xe0].[\x00-\xff]{2})([A-Z]{2}))", re.DOTALL)
_LONG = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OD", b"OL", b"OV")
_SYNTAX = b"\x02\0\x10\0UI"
SIZES = [
    bytes((0x28, 0, low, high)) for low, high in ((0x10, 0), (0x11, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 1), (8, 0))
]
"""Rows, Columns, SamplesPerPixel, BitsAllocated, BitsStored, HighBit, PixelRepresentation, NumberOfFrames."""
SYNTAXES = [
    f"1.2.840.10008.1.2{end}".encode()
    for end in ("", ".1", ".1.99", ".2", ".5", ".4.50", ".4.57", ".4.70", ".4.80", ".4.90", ".4.201")
]


def _elements(data: bytearray) -> list[int]:
    return [match.start() for match in _ELEMENT.finditer(bytes(data[: 4 * HEADER]))]


def lie_about_length(data: bytearray, random: Random) -> None:
    places = _elements(data)
    if not places:
        return write_number(data, random)
    start = random.choice(places)
    wide = data[start + 4 : start + 6] in _LONG
    at, length = (start + 8, 4) if wide else (start + 6, 2)
    number = random.choice((*EXTREMES, random.randrange(2**16))) & (256**length - 1)
    data[at : at + length] = number.to_bytes(length, "little")
    return None


def lie_about_size(data: bytearray, random: Random) -> None:
    places = [data.find(tag) for tag in SIZES]
    places = [place + 8 for place in places if place >= 0]
    for marker, ahead in ((b"\xff\x4f\xff\x51", 8), (b"\xff\xf7", 5), (b"\xff\xc3", 5)):  # SIZ, SOF55, SOF3
        place = data.find(marker)
        places += [place + ahead] * (2 if place >= 0 else 0)
    if not places:
        return write_number(data, random)
    at, length = random.choice(places), random.choice((1, 2, 2, 4))
    number = random.choice(EXTREMES) & (256**length - 1)
    data[at : at + length] = number.to_bytes(length, random.choice(("little", "big")))
    return None


def swap_tags(data: bytearray, random: Random) -> None:
    places = _elements(data)
    if len(places) < 2:
        return flip_bits(data, random)
    one, other = random.sample(places, 2)
    data[one : one + 4], data[other : other + 4] = data[other : other + 4], data[one : one + 4]
    return None


def change_kind(data: bytearray, random: Random) -> None:
    """Another value representation."""
    places = _elements(data)
    if not places:
        return overwrite(data, random)
    at = random.choice(places) + 4
    data[at : at + 2] = random.choice((*_LONG, b"US", b"DS", b"IS", b"LO", b"UI", b"??"))
    return None


def change_syntax(data: bytearray, random: Random) -> None:
    at = data.find(_SYNTAX)
    if at < 0:
        return flip_bits(data, random)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    data[at + 8 : at + 8 + length] = random.choice(SYNTAXES).ljust(length, b"\0")[:length]
    return None


DICOM: Sequence[Damage] = (
    *GENERAL, flip_bits, flip_inside, flip_inside, lie_about_length, lie_about_length, lie_about_size, lie_about_size,
    swap_tags, change_kind, change_syntax,
)  # fmt: skip
_IMAGE = b"\x08\0\x18\0UI"


def renamed(data: bytes, number: int) -> bytes:
    """The same file as another image, where its id can be found: else all children of a file would be one image."""
    at = data.find(_IMAGE)
    length = int.from_bytes(data[at + 6 : at + 8], "little") if at >= 0 else 0
    if not 16 <= length <= 64:
        return data
    return data[: at + 8] + f"1.2.{number:09}".encode().ljust(length, b"\0") + data[at + 8 + length :]


def damaged(data: bytes, kinds: Sequence[Damage], random: Random) -> tuple[bytes, str]:
    """A damaged copy, and by what."""
    changed, named = bytearray(data), []
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if not changed:
            break
        kind = random.choice(kinds)
        kind(changed, random)
        named.append(kind.__name__)
    return bytes(changed), "+".join(named)


def command(main: Callable[[int, int], Sequence[str]], description: str, *, count: int) -> NoReturn:
    """Run `main(count, seed)` by what the command line says, tell what it found wrong, and exit with 1 for any."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = main(asked.count, asked.seed)
    print("\n".join(found[:100]))
    print(f"{len(found)} wrong: FAILED" if found else "PASSED")
    sys.exit(bool(found))
