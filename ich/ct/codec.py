"""PixelData to stored values: native bytes, and the compressed syntaxes by named decoders.

A stream's own size is compared with the header before it is decoded: a stream that lies makes decoders ask for gigabytes.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Integer

JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
HTJ2K = tuple(f"1.2.840.10008.1.2.4.{last}" for last in (201, 202, 203))
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
RLE = "1.2.840.10008.1.2.5"
SYNTAXES = (*JPEG_2000, *HTJ2K, *JPEG_LS, *JPEG_LOSSLESS, RLE)

_START_OF_FRAME = {"JPEG-LS": (0xF7,), "JPEG lossless": (0xC3,)}
_MARKERS_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xDA))


class BadPixels(Exception):
    """Pixels that cannot become stored values."""

    def __init__(
        self, reason: Literal["no_pixels", "bad_size", "unsupported_codec", "truncated", "corrupt_pixels"], detail: str
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the header says that pixels are stored."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8


def extend_sign(values: Integer[np.ndarray, "height width"], layout: Layout) -> Integer[np.ndarray, "height width"]:
    """Keep the stored bits alone, and give negative values their sign; int16 where that is enough."""
    if layout.bits_stored == layout.bits_allocated or layout.bits_stored == values.itemsize * 8:
        if layout.signed:
            return values
        return values.astype(np.int64) & ((1 << layout.bits_stored) - 1)
    if layout.signed:
        unused = values.itemsize * 8 - layout.bits_stored
        return (values << unused) >> unused
    return values & ((1 << layout.bits_stored) - 1)


def native(pixels: bytes, layout: Layout, *, big_endian: bool) -> Integer[np.ndarray, "height width"]:
    """Uncompressed pixels."""
    if len(pixels) < layout.bytes:
        raise BadPixels("truncated", f"PixelData has {len(pixels)} of {layout.bytes} bytes")
    if len(pixels) >= layout.bytes + layout.columns * layout.bits_allocated // 8:
        raise BadPixels("bad_size", f"PixelData has {len(pixels)} bytes where Rows and Columns make {layout.bytes}")
    return _as_array(pixels[: layout.bytes], layout, ">" if big_endian else "<")


def compressed(pixels: bytes, layout: Layout, syntax: str) -> Integer[np.ndarray, "height width"]:
    """One encapsulated frame of a syntax in SYNTAXES."""
    stream = _join_fragments(pixels)
    try:
        if syntax in JPEG_LS:
            return _jpeg_ls(stream, layout)
        if syntax in JPEG_LOSSLESS:
            return _jpeg_lossless(stream, layout, syntax)
        return _rle(stream, layout) if syntax == RLE else _jpeg_2000(stream, layout)
    except BadPixels:
        raise
    except Exception as error:
        # Four decoders, each with exceptions of its own; all mean that the stream is damaged.
        raise BadPixels("corrupt_pixels", f"the stream cannot be decoded: {type(error).__name__}: {error}") from error


def _join_fragments(pixels: bytes) -> bytes:
    """The frame of an encapsulated PixelData: every item after the first, the offset table (DICOM PS3.5 A.4)."""
    fragments, place = [], 0
    while place + 8 <= len(pixels):
        group, element, length = struct.unpack_from("<HHI", pixels, place)
        if (group, element) != (0xFFFE, 0xE000):
            break
        fragments.append(pixels[place + 8 : place + 8 + length])
        place += 8 + length
    if not fragments:
        raise BadPixels("corrupt_pixels", "PixelData is not encapsulated as its transfer syntax demands")
    stream = b"".join(fragments[1:])
    if not stream:
        raise BadPixels("no_pixels", "PixelData has no fragment")
    return stream


def _jpeg_2000(stream: bytes, layout: Layout) -> np.ndarray:
    from openjpeg.utils import decode_pixel_data

    start = stream.find(b"\xff\x4f\xff\x51")  # SOC and SIZ; a JP2 container may stand before them
    if start < 0 or len(stream) < start + 24:
        raise BadPixels("corrupt_pixels", "there is no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">IIII", stream, start + 8)
    _compare(bottom - top, right - left, layout)
    _must_end(stream)
    precision = (stream[start + 42] & 0x7F) + 1
    frame = decode_pixel_data(stream, version=2)
    return _as_array(bytes(frame), layout, "<", bits=16 if precision <= 16 else 32)


def _jpeg_ls(stream: bytes, layout: Layout) -> np.ndarray:
    import jpeg_ls

    _compare(*_frame_size(stream, "JPEG-LS"), layout)
    _must_end(stream)
    frame, info = jpeg_ls.decode_pixel_data(stream)
    return _as_array(bytes(frame), layout, "<", bits=16 if info["bits_per_sample"] > 8 else 8)


def _jpeg_lossless(stream: bytes, layout: Layout, syntax: str) -> np.ndarray:
    try:
        import gdcm
    except ImportError as error:
        raise BadPixels("unsupported_codec", 'JPEG lossless needs an extra: pip install "ich[jpeg-lossless]"') from error
    _compare(*_frame_size(stream, "JPEG lossless"), layout)
    _must_end(stream)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(
        gdcm.PixelFormat(1, layout.bits_allocated, layout.bits_stored, layout.bits_stored - 1, int(layout.signed))
    )
    frame = image.GetBuffer().encode("utf-8", "surrogateescape")  # gdcm returns char* as str
    return _as_array(frame, layout, "<")


def _rle(stream: bytes, layout: Layout) -> np.ndarray:
    from rle.rle import decode_frame

    frame = decode_frame(stream, layout.rows * layout.columns, layout.bits_allocated, "<")
    return _as_array(bytes(frame), layout, "<")


def _frame_size(stream: bytes, kind: str) -> tuple[int, int]:
    """Rows and columns in the frame header of a JPEG stream (ITU-T T.81 B.2.2, T.87 C.2.2)."""
    place = 2
    while stream[:2] == b"\xff\xd8" and place + 9 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker in _START_OF_FRAME[kind]:
            rows, columns = struct.unpack_from(">HH", stream, place + 5)
            return rows, columns
        if marker in (0xFF, *_MARKERS_WITHOUT_LENGTH):
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    raise BadPixels("corrupt_pixels", f"there is no {kind} stream")


def _compare(rows: int, columns: int, layout: Layout) -> None:
    if (rows, columns) != (layout.rows, layout.columns):
        raise BadPixels(
            "corrupt_pixels", f"the stream holds {rows} x {columns} pixels, the header says {layout.rows} x {layout.columns}"
        )


def _must_end(stream: bytes) -> None:
    """JPEG streams end with FFD9 (and a byte that makes the length even); decoders may return half an image in silence."""
    if b"\xff\xd9" not in stream[-4:]:
        raise BadPixels("truncated", "the compressed stream ends early")


def _as_array(frame: bytes, layout: Layout, order: Literal["<", ">"], *, bits: int | None = None) -> np.ndarray:
    width = (bits or layout.bits_allocated) // 8
    values = np.frombuffer(frame, dtype=f"{order}i{width}")
    if values.size != layout.rows * layout.columns:
        raise BadPixels("corrupt_pixels", f"{values.size} pixels were decoded, not {layout.rows} x {layout.columns}")
    return values.reshape(layout.rows, layout.columns)
