"""A patient's data planted in DICOM files, and a search for them in everything that was written."""

import base64
import contextlib
import csv
import gzip
import io
import re
import shutil
import sqlite3
import struct
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pydicom

from ich.data.phantom import write_cohort
from ich.findings import FINDINGS

NAME, NUMBER, BORN, UID = "XANTHOPOULOS^EFTYCHIA", "HN-7291364", "19370419", "1.2.826.0.1.3680043.77777"
PLANTED = {
    "PatientName": "EFTYCHIA",
    "PatientID": NUMBER,
    "PatientBirthDate": BORN,
    "AccessionNumber": "ACC8842971355",
    "OtherPatientIDs": "OTHER-6620917",
    "ReferringPhysicianName": "VANDERSLOOT",
    "InstitutionName": "PANKRATIUS-KLINIKUM",
    "private tag": "QUINCE-55102",
    "private creator": "PLANTED-CREATOR",
    "UIDs": UID,
    "folder": "XANTHOPOULOS",
    "file": "ACHTERBERG",
    "file without a slice": "OOSTERHUIS",
    "table": "ELFRIEDE",
}
"""What is looked for, by where it is planted."""
WORTH_DECODING = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")
TEXTS = (".json", ".html", ".csv", ".yaml", ".txt", ".svg", ".jsonl")


def plant(root: Path, *, patients: int, slices: int) -> Path:
    """A synthetic cohort as a hospital would have it; its cases.csv, of which one patient is called after a person."""
    made = root.with_name(f"{root.name}.phantom")
    write_cohort(made, patients=patients, slices=slices, difficulty="demo", noise=1.0, seed=3, workers=2)
    labels = _labels(next(made.rglob("stage_2_train.csv")))
    numbers: dict[str, int] = {}
    rows: list[list[object]] = [["file", "patient_id", *FINDINGS]]
    for place, file in enumerate(sorted(made.rglob("*.dcm"))):
        with pydicom.config.disable_value_validation():
            data = pydicom.dcmread(file)
            number = numbers.setdefault(str(data.PatientID), len(numbers))
            _identify(data, number, place)
            target = root / f"{NAME} {number}" / f"ACHTERBERG {place}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            data.save_as(target, enforce_file_format=True)
        patient = "ELFRIEDE" if number == 0 else f"{NUMBER}-{number}"
        rows.append([target.relative_to(root).as_posix(), patient, *labels[file.stem]])
    first = root / str(rows[1][0])
    rows += [[name, "ELFRIEDE", *[0] * len(FINDINGS)] for name in _refused(root, first)]
    with (root / "cases.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    shutil.rmtree(made)
    return root / "cases.csv"


def _labels(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["ID"].rpartition("_")[0], []).append(row["Label"])
    return found


def _identify(data: pydicom.FileDataset, number: int, place: int) -> None:
    data.PatientName, data.PatientID, data.PatientBirthDate = f"{NAME} {number}", f"{NUMBER}-{number}", BORN
    data.AccessionNumber, data.OtherPatientIDs = "ACC8842971355", "OTHER-6620917"
    data.ReferringPhysicianName, data.InstitutionName = "VANDERSLOOT^WILHELMINA", "PANKRATIUS-KLINIKUM"
    block = data.private_block(0x0099, "PLANTED-CREATOR", create=True)
    block.add_new(0x01, "LO", "QUINCE-55102")
    data.SOPClassUID = pydicom.uid.CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{UID}.1.{place}"
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{UID}.2.{number}", f"{UID}.3.{number}"


def _refused(root: Path, file: Path) -> Iterator[str]:
    """Files without a slice: a scout whose description holds the name, a cut one, a text."""
    with pydicom.config.disable_value_validation():
        data = pydicom.dcmread(file)
        data.SOPInstanceUID, data.SeriesDescription = f"{UID}.9", f"SCOUT {NAME}"
        data.save_as(root / "OOSTERHUIS scout.dcm")
    (root / "OOSTERHUIS cut.dcm").write_bytes(file.read_bytes()[:-1000])
    (root / "OOSTERHUIS.txt").write_text(f"{NAME} was here")
    yield from sorted(one.name for one in root.glob("OOSTERHUIS*"))


def search(root: Path, words: dict[str, str] = PLANTED) -> dict[str, list[str]]:
    """Where each word stands, in any of its forms: names of files, bytes, members, columns, tables, chunks."""
    forms = {word: _forms(word) for word in words.values()}
    found: dict[str, list[str]] = {}
    for file in sorted(root.rglob("*")):
        place = file.relative_to(root).as_posix()
        contents = [(place, place.encode()), *(_opened(place, file) if file.is_file() else ())]
        for where, content in contents:
            small = content.lower()
            for word, (plain, exact) in forms.items():
                if any(form in small for form in plain) or any(form in content for form in exact):
                    found.setdefault(word, []).append(where)
    return found


def _forms(word: str) -> tuple[list[bytes], list[bytes]]:
    """As bytes in small letters; and in base64, whatever stands before it."""
    small = word.lower()
    plain = [small.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")]
    plain += [urllib.parse.quote(small, safe="").lower().encode(), small.encode().hex().encode()]
    return plain, [_base64(word.encode(), skip) for skip in range(3)]


def _base64(word: bytes, skip: int) -> bytes:
    """The letters that a word alone decides, where `skip` bytes of another one share its first group of three."""
    letters = base64.b64encode(b"\0" * skip + word)
    ends = len(letters.rstrip(b"=")) - letters.endswith(b"=")
    return letters[(0, 2, 3)[skip] : ends]


def _opened(place: str, file: Path) -> Iterator[tuple[str, bytes]]:
    content = file.read_bytes()
    if content[:16] == b"SQLite format 3\0":
        with sqlite3.connect(file) as database:
            yield f"{place}: its tables", "\n".join(database.iterdump()).encode("utf-8", "surrogateescape")
        database.close()
    yield from _inside(place, content)


def _inside(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, and what they hold packed or encoded."""
    yield place, content
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                yield f"{place}: {member.filename}", member.filename.encode()
                yield from _inside(f"{place}: {member.filename}", archive.read(member))
    elif content[:3] == b"\x1f\x8b\x08":
        with contextlib.suppress(EOFError, OSError, zlib.error):  # other bytes that begin so by chance
            yield from _inside(f"{place}: unpacked", gzip.decompress(content))
    elif content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        yield f"{place}: columns", str([table.schema.metadata, table.to_pydict()]).encode("utf-8", "backslashreplace")
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield f"{place}: chunks", b"\n".join(_texts_of_png(content))
    if Path(place.split(": ")[-1]).suffix in TEXTS:
        for found in WORTH_DECODING.finditer(content):
            whole = found[0][: len(found[0]) // 4 * 4]
            yield from _inside(f"{place}: base64", base64.b64decode(whole + b"=" * (-len(whole) % 4)))


def _texts_of_png(content: bytes) -> Iterator[bytes]:
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunk = content[position + 8 : position + 8 + length]
        if kind in (b"zTXt", b"iTXt"):
            keyword, _, rest = chunk.partition(b"\0")
            for skip in range(5):  # flags, language and translated keyword stand before the packed text
                try:
                    yield keyword + zlib.decompress(rest[skip:])
                except zlib.error:
                    continue
        if kind != b"IDAT":
            yield chunk
        position += 12 + length
