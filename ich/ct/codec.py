"""Compressed streams to frames: one named codec for each transfer syntax, called directly.

A codec believes the size that its stream claims, and then asks for gigabytes or hangs. So a stream is measured first,
and decoded only where its own claim agrees with the header.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

_J2K_START = b"\xff\x4f\xff\x51"
_SIZ = Struct(">HHIIIIIIIIHB")
_SEGMENT = Struct(">HHHI")
_SOT, _SOD, _COD, _COC = 0xFF90, 0xFF93, 0xFF52, 0xFF53
MAX_PRECINCTS = 2**16
"""Of 2048 x 2048 pixels at least 8 x 8 each; 256 x 256 are usual. At 2 x 2 the decoder takes 2.4 GB and 6 s."""
_FRAME = Struct(">BHHB")
_SOF3, _SOF55, _DHT, _SOS, _DRI, _COM = 0xC3, 0xF7, 0xC4, 0xDA, 0xDD, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
"""In coded data FF stands before 00, a restart, or the end (ISO 10918-1, B.1.1.2)."""
_EOI = b"\xff\xd9"
"""Ends JPEG, JPEG-LS and JPEG 2000 streams, and cannot occur in their coded data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """How the header says that pixels are stored."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def pixels(self) -> int:
        return self.rows * self.columns

    @property
    def bytes(self) -> int:
        """Of the slice, uncompressed."""
        return self.pixels * self.bits_allocated // 8


class Measured(NamedTuple):
    """What a compressed stream says about itself."""

    rows: int
    columns: int
    components: int
    precision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """`measure` reads a stream's own header, and gives None where it is no such stream.

    `decode` gives little endian values without a sign, each in the smallest of 1, 2 or 4 bytes that holds the stream's
    precision; at a damaged stream it raises anything. `end` closes every sound stream.
    """

    name: str
    module: str
    install: str
    end: bytes
    measure: Callable[[bytes, PixelFormat], Measured | None]
    decode: Callable[[bytes, PixelFormat], bytes]


def _measure_jpeg2000(stream: bytes, _: PixelFormat) -> Measured | None:
    """The SIZ segment right behind the start (ISO 15444-1, A.5.1); some writers put a JP2 file round the stream."""
    start = stream.find(_J2K_START)
    if start < 0 or len(stream) < start + 4 + _SIZ.size:
        return None
    _, _, right, bottom, left, top, _, _, _, _, components, depth = _SIZ.unpack_from(stream, start + 4)
    rows, columns = bottom - top, right - left
    if any(_count_precincts(one, rows, columns) > MAX_PRECINCTS for one in _coding_styles(stream, start + 2)):
        return None
    return Measured(rows, columns, components, (depth & 0x7F) + 1)


def _coding_styles(stream: bytes, position: int) -> Iterator[bytes]:
    """The sizes of precincts in each coding style (A.6.1, A.6.2), of the main header and of tile-parts (A.4.2)."""
    part_end = 0
    while position + _SEGMENT.size <= len(stream) and stream[position] == 0xFF:
        marker, length, _, part_length = _SEGMENT.unpack_from(stream, position)
        begin, end = position + 4, position + 2 + length
        if marker == _SOT:
            part_end = position + part_length
        if marker == _COD and stream[begin] & 1:
            yield stream[begin + 10 : end]
        if marker == _COC and stream[begin + 1] & 1:
            yield stream[begin + 7 : end]
        if marker == _SOD and part_end <= position:
            return
        position = part_end if marker == _SOD else end


def _count_precincts(sizes: bytes, rows: int, columns: int) -> int:
    """Over all resolutions, each half of the next; a byte holds the exponents of height and width."""
    halved = range(len(sizes) - 1, -1, -1)
    return sum(
        -(-rows >> times + (size >> 4)) * -(-columns >> times + (size & 15))
        for size, times in zip(sizes, halved, strict=True)
    )


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment of a JPEG stream (ISO 10918-1, B.1.1.4) up to the scan; and 0 and its data."""
    position = 2
    while stream[:2] == b"\xff\xd8" and position + 4 <= len(stream) and stream[position] == 0xFF:
        marker, end = stream[position + 1], position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        yield marker, stream[position + 4 : end]
        position = end
        if marker == _SOS:
            yield 0, stream[position:]
            return


def _read_frame(content: bytes) -> Measured | None:
    """A frame segment (ISO 10918-1, B.2.2; ISO 14495-1, C.2.2)."""
    if len(content) < _FRAME.size:
        return None
    precision, rows, columns, components = _FRAME.unpack_from(content)
    return Measured(rows, columns, components, precision)


def _measure_jpegls(stream: bytes, _: PixelFormat) -> Measured | None:
    return next((_read_frame(content) for marker, content in _segments(stream) if marker == _SOF55), None)


def _measure_jpeg_lossless(stream: bytes, _: PixelFormat) -> Measured | None:
    """And everything else that is not coded data, because gdcm ends the whole process at a damaged segment."""
    segments = list(_segments(stream))
    known = {_SOF3, _DHT, _DRI, _SOS, 0, _COM, *_APPLICATIONS}
    frames = [content for marker, content in segments if marker == _SOF3]
    scans = [content for marker, content in segments if marker == _SOS]
    tables = [content for marker, content in segments if marker == _DHT]
    if len(frames) != 1 or len(scans) != 1 or any(marker not in known for marker, _ in segments):
        return None
    frame, scan = frames[0], scans[0]
    # One component, named as in the frame, unscaled, with a predictor (Ss) and no other parameter (B.2.3, table B.3).
    if len(frame) != 9 or frame[7:] != b"\x11\0" or len(scan) != 6 or scan[:2] != b"\x01" + frame[6:7]:
        return None
    if not 1 <= scan[3] <= 7 or scan[4:] != b"\0\0" or not _are_sound_tables(tables, scan[2] >> 4):
        return None
    marker = _MARKER.search(segments[-1][1])
    return _read_frame(frame) if marker is None or marker.group() == _EOI else None


def _are_sound_tables(contents: list[bytes], needed: int) -> bool:
    """Huffman tables (ISO 10918-1, B.2.4.2) of differences of up to 16 bits, and the needed one among them."""
    found = set()
    for content in contents:
        while content:
            counts = content[1:17]
            symbols = content[17 : 17 + sum(counts)]
            codes = sum(count << 15 - index for index, count in enumerate(counts))
            if len(counts) < 16 or len(symbols) < sum(counts) or codes > 2**16 or max(symbols, default=17) > 16:
                return False
            found.add(content[0])
            content = content[17 + len(symbols) :]
    return needed in found and found <= {0, 1, 2, 3}


def _measure_rle(stream: bytes, form: PixelFormat) -> Measured | None:
    """RLE states no size; its header has to name one segment a byte, in their order (PS3.5, G.5)."""
    if len(stream) < 64:
        return None
    segments, *offsets = np.frombuffer(stream, "<u4", 16).tolist()
    used = offsets[:segments]
    if segments != form.bits_allocated // 8 or used != sorted(used) or used[0] < 64 or used[-1] >= len(stream):
        return None
    return Measured(form.rows, form.columns, 1, form.bits_allocated)


def _decode_jpeg2000(stream: bytes, _: PixelFormat) -> bytes:
    from openjpeg import decode_pixel_data

    return bytes(decode_pixel_data(stream[stream.index(_J2K_START) :], version=2))


def _decode_rle(stream: bytes, form: PixelFormat) -> bytes:
    from rle.utils import decode_pixel_data

    size = {"rows": form.rows, "columns": form.columns, "bits_allocated": form.bits_allocated}
    try:
        return bytes(decode_pixel_data(stream, version=2, **size))
    except BaseException as error:  # its Rust panics where runs are longer than the slice, and a panic is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the decoder panicked: {error}") from error


def _decode_jpegls(stream: bytes, _: PixelFormat) -> bytes:
    from jpeg_ls import decode_pixel_data

    return bytes(decode_pixel_data(stream)[0])


def _decode_jpeg_lossless(stream: bytes, form: PixelFormat) -> bytes:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((form.columns, form.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    bits = form.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, form.bits_allocated, bits, bits - 1, int(form.signed)))
    text: Any = image.GetBuffer()  # a C string, which Python takes for text
    if text is None:
        raise ValueError("gdcm gives no pixels")
    return bytes(text.encode("utf-8", "surrogateescape"))


_JPEG2000 = Codec(
    name="JPEG 2000",
    module="openjpeg",
    install="pylibjpeg-openjpeg",
    end=_EOI,
    measure=_measure_jpeg2000,
    decode=_decode_jpeg2000,
)
_JPEG_LS = Codec(
    name="JPEG-LS",
    module="jpeg_ls",
    install="pyjpegls",
    end=_EOI,
    measure=_measure_jpegls,
    decode=_decode_jpegls,
)
_JPEG_LOSSLESS = Codec(
    name="JPEG lossless",
    module="gdcm",
    install='"ich[jpeg-lossless]"',
    end=_EOI,
    measure=_measure_jpeg_lossless,
    decode=_decode_jpeg_lossless,
)
_RLE = Codec(
    name="RLE",
    module="rle",
    install="pylibjpeg-rle",
    end=b"",
    measure=_measure_rle,
    decode=_decode_rle,
)

CODECS = {
    "1.2.840.10008.1.2.4.57": _JPEG_LOSSLESS,
    "1.2.840.10008.1.2.4.70": _JPEG_LOSSLESS,
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,
    "1.2.840.10008.1.2.4.90": _JPEG2000,
    "1.2.840.10008.1.2.4.91": _JPEG2000,
    "1.2.840.10008.1.2.4.201": _JPEG2000,
    "1.2.840.10008.1.2.4.202": _JPEG2000,
    "1.2.840.10008.1.2.4.203": _JPEG2000,
    "1.2.840.10008.1.2.5": _RLE,
}
"""By transfer syntax (PS3.6, table A-1). The last three of JPEG 2000 are HTJ2K."""
REFUSED = {
    "1.2.840.10008.1.2.4.50": "JPEG baseline has 8 bits, too few for HU",
    "1.2.840.10008.1.2.4.51": "decoders of lossy 12-bit JPEG disagree about its values",
    "1.2.840.10008.1.2.4.110": "there is no codec for JPEG XL",
    "1.2.840.10008.1.2.4.111": "there is no codec for JPEG XL",
    "1.2.840.10008.1.2.4.112": "there is no codec for JPEG XL",
}
