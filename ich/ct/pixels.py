"""The pixels of a file as stored values, native or compressed, or BadSlice.

Each transfer syntax has one named codec, called directly: pylibjpeg-openjpeg, pylibjpeg-rle, pyjpegls, or python-gdcm (an extra). A
codec trusts the size that the stream itself claims, and would ask for gigabytes or hang: the claim is compared with Rows and Columns
first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from struct import Struct
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from ich.ct.elements import BIG_ENDIAN, DEFLATED, IMPLICIT, Elements


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """How the header says that the pixels are stored."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def bytes(self) -> int:
        """Of all pixels, uncompressed."""
        return self.rows * self.columns * self.bits_allocated // 8


class StreamSize(NamedTuple):
    """What a compressed stream says about itself."""

    rows: int
    columns: int
    components: int
    precision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """`measure` reads a stream's own header, `decode` returns little endian pixels in the smallest container; None: no header."""

    name: str
    package: str
    module: str
    decode: Callable[[bytes, PixelFormat], bytes]
    measure: Callable[[bytes], StreamSize | None] | None


def _decode_jpeg2000(stream: bytes, form: PixelFormat) -> bytes:
    from openjpeg import decode_pixel_data

    # Some writers put a JP2 file round the stream, which openjpeg would take as one; DICOM wants the stream alone (PS3.5, A.4.4).
    return bytes(decode_pixel_data(stream[stream.index(_SIZ) :], version=2))


def _decode_rle(stream: bytes, form: PixelFormat) -> bytes:
    from rle import decode_pixel_data

    return bytes(decode_pixel_data(stream, version=2, rows=form.rows, columns=form.columns, bits_allocated=form.bits_allocated))


def _decode_jpegls(stream: bytes, form: PixelFormat) -> bytes:
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
    image.SetPixelFormat(
        gdcm.PixelFormat(1, form.bits_allocated, form.bits_stored, form.bits_stored - 1, int(form.signed))
    )
    text: str = image.GetBuffer()  # a C string that Python takes for text
    return text.encode("utf-8", "surrogateescape")
