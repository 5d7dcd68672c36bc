"""Stored values come out of every codec as they went in; a stream that lies or is damaged is refused, without harm."""

import io
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from ich.ct.codec import CODECS, PixelFormat
from ich.ct.dicom import BadSlice, read_header, read_slice
from ich.ct.pixels import clip_hu, mend_wrapped, rescale, to_hu
from tests.ct.files import JPEG2000, JPEG_LOSSLESS, RLE, fragments, item, make_file, make_stored, rle

HALVES = 2048 // 2
"""Bytes of one plane of a slice of 32 x 32 pixels."""


def compress(data: bytes, syntax: UID) -> pydicom.Dataset:
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def to_bytes(dataset: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def stream_of(syntax: UID) -> bytes:
    return next(generate_frames(compress(make_file(), syntax).PixelData, number_of_frames=1))


def refusal(data: bytes) -> BadSlice:
    with pytest.raises(BadSlice) as caught:
        read_slice(data)
    return caught.value


@settings(max_examples=40)
@given(
    syntax=st.sampled_from([RLELossless, JPEG2000Lossless, JPEGLSLossless]),
    bits=st.integers(10, 16),
    signed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_lossless_codecs_give_back_what_went_in(syntax: UID, bits: int, signed: bool, seed: int) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    stored = np.random.default_rng(seed).integers(low, high, (33, 40)).astype(np.int16 if signed else np.uint16)
    data = make_file(stored, BitsStored=bits)
    compressed = to_bytes(compress(data, syntax))
    assert compressed != data
    assert read_header(compressed) == read_header(data)
    assert np.array_equal(read_slice(compressed).hu, read_slice(data).hu)


def test_bits_above_the_stored_ones_mean_nothing() -> None:
    stored = make_stored()
    assert np.array_equal(read_slice(make_file(stored | 0xF000)).hu, read_slice(make_file(stored)).hu)
    signed = make_file(stored, PixelRepresentation=1, RescaleIntercept="0")
    expected = np.where(stored > 2047, stored.astype(int) - 4096, stored)
    assert np.array_equal(read_slice(signed).hu, expected.clip(-1024, 3071))


def test_a_frame_may_come_in_several_fragments_or_in_a_jp2_file() -> None:
    stream = stream_of(JPEG2000Lossless)
    expected = make_stored().astype(int) - 1024
    for pixels in (fragments(stream), fragments(stream[:100], stream[100:]), fragments(b"boxes of JP2" + stream)):
        assert np.array_equal(read_slice(make_file(syntax=JPEG2000, PixelData=pixels)).hu, expected)


def siz(stream: bytes, rows: int, columns: int) -> bytes:
    """A JPEG 2000 stream that claims another size."""
    return stream[:8] + struct.pack(">II", columns, rows) + stream[16:]


@pytest.mark.parametrize(
    ("pixels", "reason", "detail"),
    [
        (fragments(), "no_pixels", "the compressed pixels have no fragment; export the file again"),
        (fragments(b"\0" * 64), "corrupt_pixels", "says JPEG 2000, but the stream is not, or not sound; export"),
        (fragments(siz(stream_of(JPEG2000Lossless), 60000, 60000)), "corrupt_pixels",
         "the JPEG 2000 stream claims 60000 x 60000 pixels of 1 components with 12 bits, the header 32 x 32 of 1"),
        (fragments(stream_of(JPEG2000Lossless)[:-10]), "truncated", "the JPEG 2000 stream has no end; copy or export"),
        (fragments(stream_of(JPEG2000Lossless)[:200] + b"\xff\xd9"), "corrupt_pixels", "cannot be decoded"),
        (fragments(stream_of(JPEG2000Lossless) + bytes(80_000)), "corrupt_pixels", "bytes of JPEG 2000 are too many"),
        (fragments(stream_of(JPEG2000Lossless))[:-8], "truncated", "the file ends inside its compressed pixels"),
        (fragments(stream_of(JPEG2000Lossless))[:-8] + item(b"")[:4] + b"\xff\xff\xff\x7f", "truncated", "the file"),
        (None, "no_pixels", "there is no PixelData"),
    ],
)  # fmt: skip
def test_a_stream_that_is_not_what_the_header_says_is_refused(pixels: bytes | None, reason: str, detail: str) -> None:
    bad = refusal(make_file(syntax=JPEG2000, PixelData=pixels))
    assert bad.reason == reason
    assert detail in bad.detail


def test_native_pixels_in_a_compressed_syntax_and_the_other_way_round_are_refused() -> None:
    native = make_file()[-2060:]
    assert native[:4] == b"\xe0\x7f\x10\0"
    bad = refusal(make_file(syntax=JPEG2000, PixelData=native))
    said = "the pixels are not in fragments, as 1.2.840.10008.1.2.4.90 wants them; export the file again"
    assert str(bad) == f"(bytes): corrupt_pixels: {said}"
    bad = refusal(make_file(PixelData=fragments(stream_of(JPEG2000Lossless))))
    assert bad.detail.startswith(
        "the pixels are in fragments, as compressed ones are, but the transfer syntax is uncom"
    )


def with_precincts(stream: bytes, exponent: int) -> bytes:
    """A JPEG 2000 stream that claims precincts of 2**exponent pixels a side (ISO 15444-1, A.6.1)."""
    at = stream.index(b"\xff\x52")
    end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    levels = stream[at + 9]
    style = bytes([stream[at + 4] | 1]) + stream[at + 5 : end] + bytes([exponent * 17] * (levels + 1))
    return stream[:at] + b"\xff\x52" + struct.pack(">H", len(style) + 2) + style + stream[end:]


def test_more_precincts_than_a_slice_needs_never_reach_the_decoder() -> None:
    form = PixelFormat(rows=2048, columns=2048, bits_allocated=16, bits_stored=12, signed=False)
    stream = siz(stream_of(JPEG2000Lossless).rstrip(b"\0"), 2048, 2048)
    measure = CODECS[JPEG2000].measure
    assert measure(with_precincts(stream, 8), form) == measure(stream, form) == (2048, 2048, 1, 12)
    assert measure(with_precincts(stream, 3), form) is None  # 65,536 of 8 x 8, and those of the smaller resolutions
    data = stream.index(b"\xff\x93")
    style = with_precincts(b"\xff\x52" + stream.split(b"\xff\x52")[1][:12], 1)
    assert measure(stream[:data] + style + stream[data:], form) is None  # in the header of a tile-part
    second = struct.pack(">HHHIBB", 0xFF90, 10, 0, 14 + len(style), 1, 2) + style + b"\xff\x93\xff\xd9"
    assert stream.endswith(b"\xff\xd9")
    assert measure(stream[:-2] + second, form) is None  # of the next one, too


def test_a_codec_that_cannot_be_imported_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(stream: bytes, form: PixelFormat) -> bytes:
        raise ImportError("libopenjp2.so: cannot open shared object file")

    monkeypatch.setitem(CODECS, JPEG2000, replace(CODECS[JPEG2000], decode=decode))
    bad = refusal(make_file(syntax=JPEG2000, PixelData=fragments(stream_of(JPEG2000Lossless))))
    assert bad.reason == "unsupported_codec"
    assert bad.detail == (
        f"{JPEG2000}: JPEG 2000 needs a package that is broken here (libopenjp2.so: cannot open shared object file); "
        "pip install --force-reinstall pylibjpeg-openjpeg"
    )


@pytest.mark.parametrize(
    ("syntax", "why"),
    [
        ("1.2.840.10008.1.2.4.50", "JPEG baseline has 8 bits, too few for HU"),
        ("1.2.840.10008.1.2.4.51", "decoders of lossy 12-bit JPEG disagree about its values"),
        ("1.2.840.10008.1.2.4.110", "there is no codec for JPEG XL"),
        ("1.2.3.4", "there is no codec for this transfer syntax"),
    ],
)
def test_a_syntax_without_a_codec_is_unsupported(syntax: str, why: str) -> None:
    data = make_file(syntax=syntax, PixelData=fragments(b"any"))
    assert str(refusal(data)) == (
        f"(bytes): unsupported_codec: {syntax}: {why}; convert the file, for example with gdcmconv --raw"
    )
    with pytest.raises(BadSlice, match="unsupported_codec"):
        read_header(data)


def literal(count: int) -> bytes:
    """An RLE segment of `count` bytes, in runs of 128."""
    return (b"\x7f" + bytes(128)) * (count // 128)


@pytest.mark.parametrize(
    ("stream", "detail"),
    [
        (rle([literal(HALVES)]), "says RLE, but the stream is not"),
        (rle([literal(HALVES)] * 3), "says RLE, but the stream is not"),
        (rle([literal(HALVES), literal(HALVES)])[:60], "says RLE, but the stream is not"),
        (struct.pack("<16I", 2, 64, 99_999, *[0] * 13) + literal(2048), "says RLE, but the stream is not"),
        (rle([literal(HALVES), literal(128)]), "the RLE stream cannot be decoded"),
        (rle([(b"\x63" + bytes(100)) * 11] * 2), "the RLE stream cannot be decoded: the decoder panicked"),
    ],
)
def test_a_damaged_rle_stream_is_refused(stream: bytes, detail: str) -> None:
    bad = refusal(make_file(syntax=RLE, PixelData=fragments(stream)))
    assert bad.reason == "corrupt_pixels"
    assert detail in bad.detail


def jpeg_lossless(
    *,
    frame: bytes = b"\x0c\0\x20\0\x20\x01\x01\x11\0",
    table: bytes | None = None,
    scan: bytes = b"\x01\x01\0\x01\0\0",
    data: bytes = b"\x12\x34",
    end: bytes = b"\xff\xd9",
) -> bytes:
    """A JPEG lossless stream of 32 x 32 pixels, well-formed up to its coded data."""
    table = b"\0" + bytes([0, 2, 3, *[0] * 13]) + bytes(range(5)) if table is None else table
    parts = [(0xC3, frame), (0xC4, table), (0xDA, scan)]
    segments = [b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content for marker, content in parts]
    return b"\xff\xd8" + b"".join(segments) + data + end


@pytest.mark.parametrize(
    "stream",
    [
        jpeg_lossless(frame=b"\x0c\0\x20\0\x20\x01\x01\x22\0"),
        jpeg_lossless(frame=b"\x0c\0\x20\0\x20\x02\x01\x11\0\x02\x11\0"),
        jpeg_lossless(table=b""),
        jpeg_lossless(table=b"\0" + bytes(16)),
        jpeg_lossless(table=b"\0" + bytes([3, *[0] * 15]) + bytes(3)),
        jpeg_lossless(table=b"\0" + bytes([0, 2, *[0] * 14]) + b"\x01\x11"),
        jpeg_lossless(table=b"\x10" + bytes([0, 2, *[0] * 14]) + b"\x01\x02"),
        jpeg_lossless(scan=b"\x01\x71\0\x01\0\0"),
        jpeg_lossless(scan=b"\x01\x01\x10\x01\0\0"),
        jpeg_lossless(scan=b"\x01\x01\0\x08\0\0"),
        jpeg_lossless(scan=b"\x01\x01\0\x01\0\x01"),
        jpeg_lossless(data=b"\xff\xda\0\x08\x01\x71\0\x01\0\0"),
        jpeg_lossless()[2:],
    ],
)
def test_a_malformed_jpeg_lossless_stream_never_reaches_its_decoder(stream: bytes) -> None:
    form = PixelFormat(rows=32, columns=32, bits_allocated=16, bits_stored=12, signed=False)
    measure = CODECS[JPEG_LOSSLESS].measure
    assert measure(jpeg_lossless(), form) == (32, 32, 1, 12)
    assert measure(jpeg_lossless(end=b""), form) == (32, 32, 1, 12)
    assert measure(stream, form) is None


DAMAGE = """
import random, sys
from pathlib import Path
from ich.ct.dicom import BadSlice, read_slice
data, generator = Path(sys.argv[1]).read_bytes(), random.Random(7)
start = data.index(b"\\xff\\xd8\\xff")
for _ in range(150):
    damaged = bytearray(data)
    for _ in range(3):
        damaged[start + generator.randrange(120)] = generator.randrange(256)
    try:
        read_slice(bytes(damaged))
    except BadSlice as bad:
        assert bad.reason in ("corrupt_pixels", "truncated", "implausible_hu"), bad
print("alive")
"""


def test_no_damage_to_a_jpeg_lossless_stream_ends_the_process(dicom_odd: Path) -> None:
    pytest.importorskip("gdcm", reason="the extra jpeg-lossless is not installed")
    path = dicom_odd / "same_slice__jpeg_lossless_sv1.dcm"
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "alive\n", done.stderr


@given(
    hu=st.lists(st.integers(-1000, 3095), min_size=64, max_size=64).filter(lambda hu: sum(one < 0 for one in hu) > 1),
    intercept=st.sampled_from([0.0, 1.0, -99.0]),
)
def test_the_mend_undoes_what_12_bits_without_sign_do_to_hu(hu: list[int], intercept: float) -> None:
    form = PixelFormat(rows=8, columns=8, bits_allocated=16, bits_stored=12, signed=False)
    wrapped = (np.array(hu).reshape(8, 8) % 4096).astype(np.int16)
    assert rescale(*mend_wrapped(wrapped, form, 1.0, intercept)).ravel().tolist() == hu


@given(
    stored=st.lists(st.integers(-32768, 32767), min_size=4, max_size=4),
    slope=st.floats(-1e308, 1e308).filter(bool),
    intercept=st.floats(-1e308, 1e308),
)
def test_no_slope_or_intercept_makes_anything_but_hu(stored: list[int], slope: float, intercept: float) -> None:
    values = np.array(stored, dtype=np.int16).reshape(2, 2)
    exact = [[min(max(one * slope + intercept, -1024), 3071) for one in row] for row in values.tolist()]
    hu, lowest, highest = to_hu(values, slope, intercept)
    assert np.array_equal(hu, np.round(exact))
    assert [clip_hu(lowest), clip_hu(highest)] == [hu.min(), hu.max()]
