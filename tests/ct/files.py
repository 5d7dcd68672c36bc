"""Small DICOM files for tests, byte by byte, so that they can be as wrong as a test wants them."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG2000 = "1.2.840.10008.1.2.4.90"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
UNDEFINED = 0xFFFFFFFF

PREAMBLE = bytes(128) + b"DICM"
LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT")

Value = str | int | bytes | None


def element(tag: int, vr: str, value: bytes, *, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """One encoded element; `length` may lie."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    value += b"\0" * (len(value) % 2)
    size = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", size) + value
    if vr in LONG_VRS:
        return head + vr.encode() + b"\0\0" + struct.pack(order + "I", size) + value
    return head + vr.encode() + struct.pack(order + "H", size) + value


def item(content: bytes) -> bytes:
    """An item of a sequence, or a fragment."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def fragments(*streams: bytes) -> bytes:
    """PixelData of a compressed syntax: an empty table of offsets and one frame in one or more fragments."""
    parts = [item(b""), *(item(stream + b"\0" * (len(stream) % 2)) for stream in streams)]
    value = b"".join(parts) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(0x7FE00010, "OB", value, length=UNDEFINED)


def make_stored(seed: int = 0, side: int = 32) -> np.ndarray:
    """Stored values [side, side] of 12 bits, with air in them."""
    values = np.random.default_rng(seed).integers(0, 4096, (side, side), dtype=np.uint16)
    values[:4] = 24
    return values


def make_file(
    stored: np.ndarray | None = None, *, syntax: str = EXPLICIT, tail: bytes = b"", **changes: Value
) -> bytes:
    """A small CT slice; `changes` are keywords (None leaves one out), PixelData among them as an encoded element."""
    stored = make_stored() if stored is None else stored
    bits = stored.itemsize * 8
    values: dict[str, Value] = {
        "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        "SOPClassUID": CT_IMAGE_STORAGE,
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "CT",
        "PatientID": "patient",
        "StudyInstanceUID": "1.2.3.2",
        "SeriesInstanceUID": "1.2.3.3",
        "ImagePositionPatient": "-125\\-120\\60.5",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "PixelSpacing": "0.5\\0.4",
        "BitsAllocated": bits,
        "BitsStored": bits if stored.dtype.kind == "i" else 12,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
    }
    values |= changes
    bits_stored = values["BitsStored"]
    if "HighBit" not in changes and isinstance(bits_stored, int):
        values["HighBit"] = bits_stored - 1
    native = stored.astype(stored.dtype.newbyteorder(">" if syntax == BIG_ENDIAN else "<")).tobytes()
    pixels = values.pop("PixelData", element(0x7FE00010, "OW", native, syntax=syntax))
    body = encode(values, syntax=syntax) + (pixels if isinstance(pixels, bytes) else b"") + tail
    return make_head(syntax) + (deflate(body) if syntax == DEFLATED else body)


def make_head(syntax: str) -> bytes:
    """Preamble and file meta information."""
    meta = element(0x00020010, "UI", syntax.encode())
    return PREAMBLE + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta


def encode(values: dict[str, Value], *, syntax: str = EXPLICIT) -> bytes:
    """Elements by keyword, in the order of their tags."""
    tags = {tag_for_keyword(keyword) or 0: value for keyword, value in values.items() if value is not None}
    return b"".join(
        element(tag, dictionary_VR(tag)[:2], pack(tags[tag], syntax=syntax), syntax=syntax) for tag in sorted(tags)
    )


def pack(value: Value, *, syntax: str = EXPLICIT) -> bytes:
    """Bytes as they are, whole numbers as US, text padded to an even length with a blank (PS3.5, 6.2)."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return struct.pack(">H" if syntax == BIG_ENDIAN else "<H", value)
    raw = str(value).encode()
    return raw + b" " * (len(raw) % 2)


def deflate(body: bytes) -> bytes:
    """As PS3.5, A.5 wants it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def rle(planes: Sequence[bytes]) -> bytes:
    """An RLE stream of encoded segments."""
    offsets = np.cumsum([64, *(len(plane) for plane in planes)])[:-1].tolist()
    return struct.pack("<16I", len(planes), *offsets, *[0] * (15 - len(planes))) + b"".join(planes)
