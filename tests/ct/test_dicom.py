"""A file becomes one slice in HU, or BadSlice with the reason that the vocabulary gives it."""

import csv
import hashlib
import io
import logging
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ich.ct import dicom
from ich.ct.dicom import HU_MAX, HU_MIN, REASONS, BadSlice, Header, Slice, read_header, read_slice
from ich.ct.elements import read_elements
from ich.ct.pixels import mend_wrapped, read_stored, rescale
from ich.errors import InputError
from tests.ct.files import DEFLATED, element, make_file, make_stored

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
KIT = SHARED / "dicom_odd"
JPEG_LOSSLESS = {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}
WITH_EXTRA = find_spec("gdcm") is not None
"""The extra jpeg-lossless is installed."""
NOT_HERE = pytest.mark.skip(reason="the real data are not here: no folder `shared` beside the checkout")


def _read_manifest() -> list[dict[str, str]]:
    if not KIT.is_dir():
        return []
    with (KIT / "MANIFEST.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


MANIFEST = _read_manifest()


def each_file(rows: list[dict[str, str]]) -> pytest.MarkDecorator:
    names = [row["file"].replace(" ", "_") for row in rows]
    return pytest.mark.parametrize("row", rows or [pytest.param({}, marks=NOT_HERE)], ids=names or ["none"])


def outcome(source: Path | bytes, read: Callable[[Path | bytes], object] = read_slice) -> str:
    """`readable`, or the reason why not."""
    try:
        read(source)
    except BadSlice as bad:
        return bad.reason
    return "readable"


def allowed(row: dict[str, str]) -> set[str]:
    """The outcomes that the manifest allows; without its extra, JPEG lossless is refused where a codec is needed."""
    outcomes = {row["expected"].removeprefix("refuse:"), *filter(None, row["also_ok"].split("|"))}
    if row["transfer_syntax"] not in JPEG_LOSSLESS or WITH_EXTRA:
        return outcomes
    before = REASONS[: REASONS.index("unsupported_codec")]
    return {one if one in before else "unsupported_codec" for one in outcomes}


def stored_and_hu(source: Path | bytes) -> tuple[np.ndarray, np.ndarray]:
    """Stored values, and HU before rounding and clipping."""
    elements = read_elements(source)
    facts = dicom._check(elements, source, True)
    stored = read_stored(elements, facts.form)
    return stored, rescale(*mend_wrapped(stored, facts.form, facts.header.slope, facts.header.intercept))


def refusal(source: Path | bytes, *, header: bool = False, spacing_required: bool = True) -> BadSlice:
    with pytest.raises(BadSlice) as caught:
        (read_header if header else read_slice)(source, spacing_required=spacing_required)
    return caught.value


def test_the_manifest_is_read_whole(dicom_odd: Path) -> None:
    files = {path.relative_to(dicom_odd).as_posix() for path in dicom_odd.rglob("*") if path.is_file()}
    named = [row["file"] for row in MANIFEST]
    assert len(named) == len(set(named)) == 200
    assert files - {*named} <= {"MANIFEST.csv", "README.md"}
    assert sum(bool(row["hu_min"]) for row in MANIFEST) == sum(bool(row["stored_i4_sha256"]) for row in MANIFEST) == 79


@each_file(MANIFEST)
def test_every_odd_file_has_an_outcome_that_the_manifest_allows(
    row: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    start = time.perf_counter()
    found = outcome(KIT / row["file"])
    assert time.perf_counter() - start < 5
    assert found in allowed(row)
    assert not caplog.records


@each_file([row for row in MANIFEST if row["hu_min"]])
def test_stored_values_and_hu_before_clipping_are_those_of_the_manifest(row: dict[str, str]) -> None:
    found = outcome(KIT / row["file"])
    if found != "readable" and found in allowed(row):
        pytest.skip(f"the manifest allows its refusal: {found}")
    stored, hu = stored_and_hu(KIT / row["file"])
    assert hashlib.sha256(stored.astype("<i4").tobytes()).hexdigest() == row["stored_i4_sha256"]
    assert "x".join(map(str, hu.shape)) == row["rows_cols"]
    assert [hu.min(), hu.max(), hu.mean()] == pytest.approx(
        [float(row[f"hu_{what}"]) for what in ("min", "max", "mean")], abs=6e-5
    )
    assert np.array_equal(read_slice(KIT / row["file"]).hu, hu.round().clip(-1024, 3071))


@each_file(MANIFEST)
def test_the_header_of_an_odd_file_agrees_with_its_slice(row: dict[str, str]) -> None:
    path = KIT / row["file"]
    found, found_in_header = outcome(path), outcome(path, read_header)
    if found == "readable":
        assert read_header(path) == read_slice(path).header
    elif found_in_header == "readable":
        assert found in ("no_pixels", "truncated", "corrupt_pixels", "implausible_hu")
    else:
        assert str(refusal(path, header=True)) == str(refusal(path))


def test_ten_transfer_syntaxes_hold_the_same_pixels(dicom_odd: Path) -> None:
    found = {path: outcome(path) for path in sorted(dicom_odd.glob("same_slice__*"))}
    readable = [path for path in found if found[path] == "readable"]
    reference = read_slice(dicom_odd / "same_slice__explicit_le.dcm")
    assert len(found) == 11
    assert len(readable) == (10 if WITH_EXTRA else 8)
    for path in readable:
        assert np.array_equal(read_slice(path).hu, reference.hu), path.name
        assert read_slice(path).header.spacing_mm == reference.header.spacing_mm


@pytest.fixture(scope="module")
def real_slices(rsna2019: Path) -> Iterator[tuple[zipfile.ZipFile, list[dict[str, str]]]]:
    with (rsna2019 / "mini_headers.csv").open(newline="") as table, zipfile.ZipFile(rsna2019 / "mini.zip") as archive:
        yield archive, list(csv.DictReader(table))


def test_stored_values_and_facts_of_405_real_slices_equal_their_table(
    real_slices: tuple[zipfile.ZipFile, list[dict[str, str]]],
) -> None:
    archive, rows = real_slices
    assert len(rows) == 405
    for row in rows:
        data = archive.read(f"rsna-intracranial-hemorrhage-detection/{row['set']}/{row['image_id']}.dcm")
        elements = read_elements(data)
        facts = dicom._check(elements, data, True)
        stored = read_stored(elements, facts.form)
        assert [stored.min(), stored.max(), stored.mean()] == [int(row["pmin"]), int(row["pmax"]), float(row["pmean"])]
        assert facts.header == Header(
            image_id=row["image_id"],
            series_id=row["series_id"],
            study_id=row["study_id"],
            patient_id=row["patient_id"],
            position_mm=tuple(_parse_list(row["image_position"])),  # type: ignore[arg-type]
            orientation=tuple(_parse_list(row["image_orientation"])),  # type: ignore[arg-type]
            spacing_mm=tuple(_parse_list(row["pixel_spacing"])),  # type: ignore[arg-type]
            rows=512,
            columns=512,
            bits_stored=int(row["bits_stored"]),
            signed=row["pixel_representation"] == "1",
            slope=1.0,
            intercept=float(row["rescale_intercept"]),
        )
        expected = (stored + float(row["rescale_intercept"])).clip(-1024, 3071)
        assert np.array_equal(read_slice(data).hu, expected)


def _parse_list(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]").split(",")]


def test_a_slice_is_hu_in_int16_within_the_scale() -> None:
    one = read_slice(make_file())
    assert isinstance(one, Slice)
    assert one.hu.dtype == np.int16
    assert one.hu.flags.writeable
    assert (HU_MIN, HU_MAX) == (-1024, 3071)
    assert np.array_equal(one.hu, make_stored().astype(int) - 1024)


@given(
    stored=st.sampled_from(["<i2", "<u2", "<i4", "<u4"]).flatmap(
        lambda kind: st.integers(0, 2**32 - 1).map(
            lambda seed: np.random.default_rng(seed).integers(
                np.iinfo(kind).min, np.iinfo(kind).max, (32, 33), dtype=kind, endpoint=True
            )
        )
    ),
    bits=st.integers(9, 32),
    slope=st.decimals(-20, 20, places=4).filter(bool),
    intercept=st.one_of(st.integers(-70000, 70000), st.decimals(-5000, 5000, places=3)),
)
def test_hu_are_the_lowest_bits_times_slope_plus_intercept(
    stored: np.ndarray, bits: int, slope: Decimal, intercept: int | Decimal
) -> None:
    bits = min(bits, stored.itemsize * 8)
    values = stored.astype(np.int64) & (2**bits - 1)
    if stored.dtype.kind == "i":
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
    if bits == 12 and stored.dtype.kind == "u":
        intercept = min(intercept, -100)  # above it the file would look wrapped
    data = make_file(stored, BitsStored=bits, RescaleSlope=str(slope), RescaleIntercept=str(intercept))
    expected = (values * float(slope) + float(intercept)).round().clip(-1024, 3071)
    if expected.min() == expected.max() > -900:
        assert outcome(data) == "implausible_hu"
    else:
        assert np.array_equal(read_slice(data).hu, expected)


def test_pydicom_reads_the_same_from_a_generated_file() -> None:
    dataset = pydicom.dcmread(io.BytesIO(make_file()))
    assert np.array_equal(dataset.pixel_array, make_stored())
    assert np.array_equal(read_slice(make_file()).hu, dataset.pixel_array.astype(int) + dataset.RescaleIntercept)


def make_head_hu() -> np.ndarray:
    """HU [64, 64]: air round a disc of brain in a shell of bone, and above it a row from air to metal."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    radius = np.hypot(y, x)
    hu = np.where(radius > 0.9, -1000, np.where(radius > 0.8, 1200, 35))
    hu[0] = np.linspace(-1000, 3000, 64).astype(int)
    return hu


@pytest.mark.parametrize("intercept", ["0", "1", "-3"])
def test_wrapped_slices_are_mended(intercept: str) -> None:
    wrapped = (make_head_hu() % 4096).astype(np.uint16)
    assert wrapped[1, 0] == 3096
    data = make_file(wrapped, BitsStored=12, RescaleIntercept=intercept)
    assert np.array_equal(read_slice(data).hu, make_head_hu())


def test_a_12_bit_slice_without_sign_and_intercept_keeps_its_metal() -> None:
    stored = np.full((64, 64), 40, dtype=np.uint16)
    stored[:5, :8] = 3600  # metal: 40 of 4,096 pixels
    hu = read_slice(make_file(stored, BitsStored=12, RescaleIntercept="0")).hu
    assert hu.max() == 3071
    assert hu.min() == 40


@pytest.mark.parametrize(("bits", "signed", "intercept"), [(12, 0, "-100"), (13, 0, "0"), (12, 1, "0")])
def test_only_12_bits_without_sign_and_offset_can_be_wrapped(bits: int, signed: int, intercept: str) -> None:
    stored = np.full((64, 64), 3500, dtype=np.uint16)
    stored[:32] = 20
    values = stored.astype(int)
    values[values > 2047] -= 4096 * signed
    data = make_file(stored, BitsStored=bits, PixelRepresentation=signed, RescaleIntercept=intercept)
    assert np.array_equal(read_slice(data).hu, (values + int(intercept)).clip(-1024, 3071))


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"Modality": "MR"}, "not_ct", "Modality is MR; give the CT series alone"),
        ({"Modality": None}, "not_ct", "Modality is missing; give the CT series alone"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not_ct", "a screen save, a report or the like; leave it out"),
        ({"NumberOfFrames": "2"}, "multi_frame", "there are 2 frames in the file; export single slices"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour", "RGB, SamplesPerPixel 3"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour", "PhotometricInterpretation is PALETTE COLOR"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"}, "localizer", "LOCALIZER': a scout; leave it out"),
        ({"SeriesDescription": "Topogram 0.6"}, "localizer", "SeriesDescription begins with TOPOGRAM: a scout"),
        ({"ImageOrientationPatient": "1\\0\\0\\0\\0\\-1"}, "not_axial", "the slice is coronal; give the axial series"),
        ({"ImageOrientationPatient": "0\\1\\0\\0\\0\\-1"}, "not_axial", "the slice is sagittal; give the axial series"),
        ({"PixelData": b""}, "no_pixels", "there is no PixelData; export the file again with its pixels"),
        ({"PixelData": element(0x7FE00010, "OW", b"")}, "no_pixels", "there is no PixelData"),
        ({"PixelData": element(0x7FE00008, "OF", bytes(4096))}, "bad_pixel_format", "pixels are floating point"),
        ({"Rows": None}, "bad_size", "Rows or Columns is missing; export the file again"),
        ({"Rows": 65535}, "bad_size", "65535 x 32 pixels; a slice has 32 to 2048 a side"),
        ({"Rows": 31}, "bad_size", "31 x 32 pixels"),
        ({"Columns": 2049}, "bad_size", "32 x 2049 pixels"),
        ({"Rows": 16, "Columns": 64}, "bad_size", "16 x 64 pixels"),
        ({"Columns": 48, "Rows": 40}, "truncated", "3,840 bytes of pixels are needed, and 2,048 are there"),
        ({"BitsAllocated": None}, "bad_pixel_format", "BitsAllocated None"),
        ({"BitsAllocated": 12}, "bad_pixel_format", "HU need 16 or 32 bits, 9 or more of them stored"),
        ({"BitsStored": 8}, "bad_pixel_format", "BitsStored 8"),
        ({"BitsStored": 17}, "bad_pixel_format", "BitsStored 17"),
        ({"HighBit": 15}, "bad_pixel_format", "HighBit 15, PixelRepresentation 0: values do not begin at bit 0"),
        ({"PixelRepresentation": 2}, "bad_pixel_format", "PixelRepresentation 2"),
        ({"SamplesPerPixel": None}, "bad_pixel_format", "SamplesPerPixel or PhotometricInterpretation is missing"),
        ({"PixelSpacing": None}, "bad_spacing", "PixelSpacing is missing, so pixels cannot become millimetres; use"),
        ({"PixelSpacing": "0.5"}, "bad_spacing", "PixelSpacing is '0.5', so"),
        ({"PixelSpacing": "0.5\\0"}, "bad_spacing", "geometry=full to do without"),
        ({"PixelSpacing": "0.5\\nan"}, "bad_spacing", "PixelSpacing is '0.5\\\\nan'"),
        ({"PixelSpacing": "1e999\\1"}, "bad_spacing", "PixelSpacing is"),
        ({"RescaleSlope": None}, "bad_rescale", "RescaleSlope is '', RescaleIntercept '-1024', where HU need one"),
        ({"RescaleSlope": "0"}, "bad_rescale", "the slope not 0; export the file again"),
        ({"RescaleSlope": "inf"}, "bad_rescale", "RescaleSlope is 'inf'"),
        ({"RescaleIntercept": "0\\-1024"}, "bad_rescale", "RescaleIntercept '0\\\\-1024'"),
        ({"RescaleIntercept": "1_0"}, "bad_rescale", "RescaleIntercept '1_0'"),
        ({"RescaleType": "Z_EFF"}, "bad_rescale", "RescaleType is Z_EFF, and not HU; give the series in HU"),
        ({"ModalityLUTSequence": b""}, "bad_rescale", "ModalityLUTSequence gives no negative values"),
    ],
)  # fmt: skip
def test_what_the_header_shows_is_refused_with_reason_and_way_out(
    changes: dict[str, str | int | bytes | None], reason: str, detail: str
) -> None:
    bad = refusal(make_file(**changes))  # type: ignore[arg-type]
    assert bad.reason == reason
    assert detail in bad.detail
    assert str(refusal(make_file(**changes), header=True)) == str(bad)  # type: ignore[arg-type]


def test_of_several_faults_the_first_of_the_vocabulary_is_named() -> None:
    faults: list[tuple[str, dict[str, str | int | bytes | None]]] = [
        ("not_ct", {"Modality": "MR"}),
        ("multi_frame", {"NumberOfFrames": "2"}),
        ("colour", {"SamplesPerPixel": 3}),
        ("localizer", {"ImageType": "LOCALIZER"}),
        ("not_axial", {"ImageOrientationPatient": "1\\0\\0\\0\\0\\-1"}),
        ("bad_size", {"Rows": 8}),
        ("bad_pixel_format", {"HighBit": 3}),
        ("bad_spacing", {"PixelSpacing": ""}),
        ("bad_rescale", {"RescaleSlope": "0"}),
    ]
    changes: dict[str, str | int | bytes | None] = {"PixelData": element(0x7FE00010, "OW", bytes(10))}
    assert refusal(make_file(**changes)).reason == "truncated"  # type: ignore[arg-type]
    for reason, fault in reversed(faults):
        changes |= fault
        assert refusal(make_file(**changes)).reason == reason  # type: ignore[arg-type]
    named = [reason for reason, _ in faults]
    assert named == sorted(named, key=lambda reason: REASONS.index(reason))  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [0, 3500])
def test_a_slice_of_one_value_is_implausible(value: int) -> None:
    bad = refusal(make_file(np.full((32, 32), value, dtype=np.int16), RescaleIntercept="0"))
    hu = min(value, 3071)
    assert bad.reason == "implausible_hu"
    assert bad.detail == f"every pixel has {hu} HU: the slice is blank, or its rescale is wrong; leave it out"


def test_a_slice_of_air_is_a_slice() -> None:
    assert read_slice(make_file(np.zeros((32, 32), dtype=np.int16))).hu.max() == -1024


def test_facts_are_those_of_the_header() -> None:
    assert read_slice(make_file()).header == Header(
        image_id="1.2.3.4",
        series_id="1.2.3.3",
        study_id="1.2.3.2",
        patient_id="patient",
        position_mm=(-125.0, -120.0, 60.5),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        spacing_mm=(0.5, 0.4),
        rows=32,
        columns=32,
        bits_stored=12,
        signed=False,
        slope=1.0,
        intercept=-1024.0,
    )


def test_an_empty_id_never_merges_strangers() -> None:
    levels = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    missing: dict[str, str | None] = {}
    found = []
    for keyword in levels:
        missing[keyword] = "" if keyword == "PatientID" else None
        header = read_header(make_file(**missing))
        found.append((header.patient_id, header.study_id, header.series_id, header.image_id))
    names = found.pop()
    assert found == [("1.2.3.2", "1.2.3.2", "1.2.3.3", "1.2.3.4"), ("1.2.3.3",) * 3 + ("1.2.3.4",), ("1.2.3.4",) * 4]
    assert len(set(names)) == 1
    assert read_header(make_file(**missing)).image_id == names[0]
    assert read_header(make_file(make_stored(seed=1), **missing)).image_id != names[0]


def test_an_image_without_an_id_is_called_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ID_1.dcm"
    path.write_bytes(make_file(SOPInstanceUID=None))
    assert read_slice(path).header.image_id == "ID_1"
    assert read_slice(str(path)).header.image_id == "ID_1"


@pytest.mark.parametrize("spacing", [None, "0\\0", "abc", "0.5"])
def test_spacing_may_be_missing_where_it_is_not_required(spacing: str | None) -> None:
    data = make_file(PixelSpacing=spacing)
    assert read_slice(data, spacing_required=False).header.spacing_mm is None
    assert read_header(data, spacing_required=False).spacing_mm is None
    assert read_header(make_file(), spacing_required=False).spacing_mm == (0.5, 0.4)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", None),
        ("ImagePositionPatient", "1\\2"),
        ("ImagePositionPatient", "1\\2\\nan"),
        ("ImageOrientationPatient", None),
        ("ImageOrientationPatient", "1\\0\\0"),
        ("ImageOrientationPatient", "0\\0\\0\\0\\0\\0"),
        ("ImageOrientationPatient", "1\\0\\0\\1\\0\\0"),
    ],
)
def test_position_and_orientation_are_none_where_they_are_malformed(keyword: str, value: str | None) -> None:
    header = read_slice(make_file(**{keyword: value})).header  # type: ignore[arg-type]
    assert (header.position_mm if keyword == "ImagePositionPatient" else header.orientation) is None


@pytest.mark.parametrize("degrees", [-30, 0, 27, 44])
def test_gantry_tilt_is_axial(degrees: int) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    orientation = read_header(make_file(ImageOrientationPatient=f"1\\0\\0\\0\\{cosine:.6f}\\{sine:.6f}")).orientation
    assert orientation == pytest.approx((1, 0, 0, 0, cosine, sine), abs=1e-6)


def test_names_in_any_character_set_do_not_matter() -> None:
    data = make_file(SpecificCharacterSet="ISO_IR 999", PatientName=b"\xff\xfe\x80", PatientID=b"\xe9t\xe9 ")
    assert read_slice(data).header.patient_id == "été"


def test_a_file_that_cannot_be_opened_is_no_dicom(tmp_path: Path) -> None:
    missing = tmp_path / "missing.dcm"
    for read in (read_slice, read_header):
        with pytest.raises(BadSlice) as caught:
            read(missing)
        assert str(caught.value) == f"{missing}: not_dicom: the file cannot be read: No such file or directory"
    assert refusal(tmp_path).detail == "this is a folder or a device, and no file"
    with pytest.raises(BadSlice, match="not_dicom: the file cannot be read: embedded null byte"):
        read_slice("a\0b")


def test_bad_slice_is_an_input_error_and_travels_between_processes() -> None:
    bad = refusal(make_file(Modality="MR"))
    assert isinstance(bad, InputError)
    again = pickle.loads(pickle.dumps(bad))
    assert (again.path, again.reason, again.detail, str(again)) == (bad.path, bad.reason, bad.detail, str(bad))
    assert str(bad) == "(bytes): not_ct: Modality is MR; give the CT series alone"


def test_threads_read_what_one_thread_reads(dicom_odd: Path) -> None:
    paths = [dicom_odd / row["file"] for row in MANIFEST] * 2
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(outcome, paths))
    assert found == [outcome(path) for path in paths[: len(MANIFEST)]] * 2


def test_ids_of_rsna_bring_no_warning_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert read_slice(make_file(SOPInstanceUID="ID_000012eaf")).header.image_id == "ID_000012eaf"  # warnings are errors
    assert not caplog.records


def test_jpeg_lossless_without_its_extra_names_the_extra(dicom_odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdcm", None)
    for name in ("same_slice__jpeg_lossless_p14.dcm", "same_slice__jpeg_lossless_sv1.dcm"):
        bad = refusal(dicom_odd / name)
        assert bad.reason == "unsupported_codec"
        assert bad.detail.endswith('JPEG lossless needs a package that is not here; pip install "ich[jpeg-lossless]"')
        assert refusal(dicom_odd / name, header=True).detail == bad.detail


TRAPS = """
import resource, sys
from pathlib import Path
from ich.ct.dicom import BadSlice, read_slice
heavy = {"pydicom", "torch", "openjpeg", "gdcm", "rle", "jpeg_ls"} & sys.modules.keys()
assert not heavy, heavy
limit = 700 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        read_slice(Path(path))
    except BadSlice as bad:
        print(bad.reason)
"""


def test_files_that_claim_gigabytes_are_refused_in_700_mb(tmp_path: Path, dicom_odd: Path) -> None:
    pytest.importorskip("resource", reason="memory can be limited on Unix only")
    empty_item = b"\xfe\xff\x00\xe0" + bytes(4)
    bombs = {
        "zeros": element(0x00090010, "OB", bytes(200 * 2**20)),
        "items": element(0x00081140, "SQ", empty_item * 2**22, length=0xFFFFFFFF),
    }
    paths = []
    for name, bomb in bombs.items():
        path = tmp_path / name
        path.write_bytes(make_file(syntax=DEFLATED, PixelData=bomb))
        assert path.stat().st_size < 320_000
        paths.append(path)
    paths += sorted(dicom_odd.glob("x_rows_65535*")) + sorted(dicom_odd.glob("*_stream_lies_*"))
    done = subprocess.run(
        [sys.executable, "-c", TRAPS, *map(str, paths)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["bad_size", "bad_header", "bad_size", "bad_size", "corrupt_pixels", "corrupt_pixels"]


def test_reading_a_header_reads_32_kib(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    data = make_file(np.zeros((512, 512), dtype=np.int16))
    path.write_bytes(data)
    assert len(read_elements(path, header_only=True).data) == 32768
    assert read_header(path) == read_header(data)


@pytest.mark.parametrize(
    "data",
    [
        make_file(make_stored(side=256), RescaleIntercept=None, tail=element(0x00281052, "DS", b"-1024 ")),
        make_file(make_stored(side=256), ImageComments=b"long" * 10_000),
        make_file(make_stored(side=256), syntax=DEFLATED),
    ],
    ids=["intercept behind the pixels", "40 kB before the pixels", "deflated"],
)
def test_a_header_is_found_wherever_it_stands(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(data)
    assert read_header(path) == read_slice(path).header
    assert np.array_equal(read_slice(path).hu, make_stored(side=256).astype(int) - 1024)


def test_a_huge_file_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.dcm"
    with path.open("wb") as file:
        file.write(make_file())
        file.truncate(2**33)
    assert refusal(path).detail == "8,589,934,592 bytes; one slice needs 67,108,864 at most; leave it out"
    assert refusal(path, header=True).reason == "bad_size"
