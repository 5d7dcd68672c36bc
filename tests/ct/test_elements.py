"""Elements are found wherever DICOM lets them stand, as pydicom finds them, and no bytes make the walk run away."""

import io
import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from ich.ct import elements as walk
from ich.ct.dicom import BadSlice, read_header, read_slice
from ich.ct.elements import MAX_ELEMENTS, Tag, read_elements
from ich.ct.refusal import REASONS
from tests.ct.files import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PREAMBLE,
    RLE,
    UNDEFINED,
    element,
    encode,
    fragments,
    item,
    make_file,
    make_head,
    make_stored,
    rle,
)

Result = TypeVar("Result")
SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
WANTED = sorted(tag for tag in vars(Tag).values() if isinstance(tag, int))


@pytest.fixture
def quiet_pydicom() -> Iterator[None]:
    """pydicom warns of much in odd files; here it is the witness."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        yield
        logging.disable(logging.NOTSET)


def values_by_pydicom(source: Path | bytes) -> dict[int, bytes]:
    dataset = pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source, force=True)
    raw = {tag: dataset.get_item(tag).value for tag in WANTED if tag in dataset and tag < 0x7FE00000}
    return {tag: value or b"" for tag, value in raw.items() if value is None or isinstance(value, bytes)}


def test_raw_values_of_odd_files_are_pydicoms(dicom_odd: Path, quiet_pydicom: None) -> None:
    compared = 0
    for path in sorted(path for path in dicom_odd.rglob("*") if path.is_file()):
        try:
            found = read_elements(path).values
            expected = values_by_pydicom(path)
        except BadSlice:
            continue  # what is refused is compared with the manifest elsewhere
        except Exception:  # the witness cannot read it
            continue
        assert {tag: found.get(tag) for tag in expected} == expected, path.name
        compared += len(expected)
    assert compared > 3000


leaves = st.dictionaries(
    st.sampled_from(["ImageComments", "StudyDescription", "AcquisitionNumber"]), st.just("1"), max_size=3
)
nested = st.recursive(
    leaves,
    lambda inner: st.dictionaries(st.sampled_from(["ReferencedImageSequence"]), st.lists(inner, max_size=3)),
    max_leaves=8,
)


def build(content: dict[str, object], undefined: bool) -> Dataset:
    dataset = Dataset()
    dataset.is_undefined_length_sequence_item = undefined
    for keyword, value in content.items():
        setattr(
            dataset, keyword, Sequence([build(one, undefined) for one in value]) if isinstance(value, list) else value
        )
        dataset[keyword].is_undefined_length = undefined and isinstance(value, list)
    return dataset


@given(content=nested, undefined=st.booleans(), syntax=st.sampled_from(SYNTAXES))
def test_values_stand_behind_any_nesting_that_pydicom_writes(
    content: dict[str, object], undefined: bool, syntax: str
) -> None:
    dataset = build(content, undefined)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.PatientID, dataset.Rows, dataset.RescaleSlope = "Q", 77, "1.5"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    elements = read_elements(file.getvalue())
    assert elements.text(Tag.SOP_INSTANCE) == "1.2.3"
    assert elements.text(Tag.PATIENT_ID) == "Q"
    assert elements.integer(Tag.ROWS) == 77
    assert elements.numbers(Tag.RESCALE_SLOPE) == (1.5,)
    assert not elements.cut


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_uncompressed_syntax_gives_the_same_slice(syntax: str) -> None:
    one = read_slice(make_file(syntax=syntax))
    assert np.array_equal(one.hu, make_stored().astype(int) - 1024)
    assert one.header == read_slice(make_file()).header


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_bare_data_set_is_read(syntax: str) -> None:
    data = make_file(syntax=syntax)
    assert read_slice(data.removeprefix(make_head(syntax))).header == read_slice(data).header
    assert read_slice(data.removeprefix(PREAMBLE)).header == read_slice(data).header
    assert read_slice(PREAMBLE + data.removeprefix(make_head(syntax))).header == read_slice(data).header


def test_pixels_of_an_icon_are_not_those_of_the_slice() -> None:
    icon = encode({"Rows": 8, "Columns": 8}) + element(0x7FE00010, "OW", bytes(128))
    sequence = element(0x00880200, "SQ", item(icon) + SEQUENCE_END, length=UNDEFINED)
    pixels = element(0x7FE00010, "OW", make_stored().tobytes())
    assert read_slice(make_file(PixelData=sequence + pixels)).hu.shape == (32, 32)


def test_an_implicit_element_among_explicit_ones_is_stepped_over() -> None:
    switched = element(0x00204000, "LT", b"switched", syntax=IMPLICIT)
    pixels = element(0x7FE00010, "OW", make_stored().tobytes())
    assert read_slice(make_file(PixelData=switched + pixels)).hu.shape == (32, 32)


def test_zeros_behind_the_pixels_are_padding() -> None:
    assert read_slice(make_file(tail=bytes(8 * MAX_ELEMENTS))).header == read_slice(make_file()).header


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "empty", "the file has no bytes; copy or export it again"),
        (b"\x89PNG\r\n" + bytes(300), "not_dicom", "there is no DICM at byte 128: another kind of file, or a failed"),
        (b"<html>404</html>" * 20, "not_dicom", "there is no DICM at byte 128"),
        (bytes(131), "not_dicom", "there is no DICM at byte 128"),
        (make_head(BIG_ENDIAN) + make_file()[180:], "bad_header", "the elements are little endian, and not as 1.2.840"),
        (make_file(tail=encode({"Rows": 64})), "bad_header", "element (0028,0010) stands twice, with different values"),
        (
            PREAMBLE + encode({"RecognitionCode": "ACR-NEMA 2.0"}),
            "bad_header",
            "this is ACR-NEMA, which came before DICOM",
        ),
        (
            make_head(DEFLATED) + b"\xff" * 99,
            "bad_header",
            "the deflated data are damaged (Error -3 while decompressing",
        ),
        (
            make_file(syntax=DEFLATED)[:-9],
            "truncated",
            "the deflated data end too early; copy or export the file again",
        ),
        (make_file()[:180], "truncated", "the file ends inside its header, before Modality; copy or export it again"),
        (make_file()[:440], "truncated", "the file ends inside its header, before the pixels; copy or export it again"),
        (make_file()[:-1], "truncated", "2,048 bytes of pixels are needed, and 2,047 are there; copy or export the"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bytes_that_are_no_data_set_are_refused(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(BadSlice) as caught:
        read_slice(data)
    assert caught.value.reason == reason
    assert detail in caught.value.detail


@pytest.mark.parametrize("nested", [False, True])
def test_more_elements_than_a_slice_has_are_refused(nested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_ELEMENTS", 1000)
    many = element(0x00090010, "UN", b"") * 1000
    data = PREAMBLE + (element(0x00081140, "SQ", item(b"") * 1000, length=UNDEFINED) if nested else many)
    with pytest.raises(BadSlice, match="bad_header: there are more than 1,000 elements, where one slice has hundreds"):
        read_slice(data)


def compressed() -> bytes:
    """A slice in RLE: each plane as literal runs of 128 bytes."""
    raw = make_stored().astype("<u2").view(np.uint8).reshape(-1, 2)
    planes = [b"".join(b"\x7f" + raw[k : k + 128, byte].tobytes() for k in range(0, 1024, 128)) for byte in (1, 0)]
    return make_file(syntax=RLE, PixelData=fragments(rle(planes)))


def found(read: Callable[[bytes], Result], data: bytes) -> Result | str:
    """What is read, or the reason why not."""
    try:
        return read(data)
    except BadSlice as bad:
        return bad.reason


@pytest.mark.parametrize(
    "data",
    [make_file(), make_file(syntax=IMPLICIT), make_file(syntax=BIG_ENDIAN), make_file(syntax=DEFLATED), compressed()],
)
def test_a_file_cut_at_any_byte_is_refused(data: bytes) -> None:
    whole = read_slice(data)
    pixels_at = len(data) - 1900
    for length in [*range(pixels_at), *range(pixels_at, len(data) - 20, 20), *range(len(data) - 20, len(data))]:
        with pytest.raises(BadSlice) as caught:
            read_slice(data[:length])
        assert caught.value.reason in ("empty", "not_dicom", "bad_header", "not_ct", "no_pixels", "truncated"), length
        assert found(read_header, data[:length]) in (caught.value.reason, whole.header)


@given(
    data=st.binary(max_size=2000),
    start=st.sampled_from([b"", PREAMBLE, make_head(EXPLICIT), make_head(IMPLICIT), make_head(DEFLATED)]),
)
def test_any_bytes_give_a_reason(data: bytes, start: bytes) -> None:
    with pytest.raises(BadSlice) as caught:
        read_slice(start + data)
    assert caught.value.reason in REASONS


@settings(max_examples=300)
@given(
    data=st.sampled_from([make_file(), make_file(syntax=IMPLICIT), make_file(syntax=DEFLATED), compressed()]),
    changes=st.lists(st.tuples(st.integers(0, 2900), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
)
def test_a_damaged_file_gives_a_slice_or_a_reason(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position : position + len(value)] = value
    one = found(read_slice, bytes(damaged))
    assert one in REASONS if isinstance(one, str) else one.hu.shape == (one.header.rows, one.header.columns)
