"""Thousands of damaged CSVs, archives, stores and checkpoints: python -m tests.faults.tables

    python -m tests.faults.tables --count 5000 --seed 0

Each is refused with a message of ours, or gives what the sound one gives; a table of labels whose damage makes another
sound table gives what pandas reads there. Nothing else is raised, nothing takes five seconds.
"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import resource
import shutil
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import torch

from ich.ct.geometry import HeadGeometry
from ich.data.cohort import read_cohort, read_table
from ich.data.labels import read_labels, write_labels
from ich.data.source import Rsna
from ich.data.split import read_folds
from ich.data.store import open_store, prepare_store
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.predictor import Predictor
from tests.data.dicom_files import write_slice
from tests.faults.damage import GENERAL, Damage, command, damaged
from tests.faults.small import small_checkpoint

SLOWEST_SECONDS = 5.0
MOST_KB = 300_000
IMAGES = 12


def silent(done: int, total: int) -> None:
    pass


# --- damage to text


def swap_lines(data: bytearray, random: Random) -> None:
    lines = bytes(data).split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    data[:] = b"\n".join(lines)


def change_a_cell(data: bytearray, random: Random) -> None:
    lines = bytes(data).split(b"\n")
    row = random.randrange(len(lines))
    cells = lines[row].split(b",")
    cells[random.randrange(len(cells))] = random.choice(CELLS)
    lines[row] = b",".join(cells)
    data[:] = b"\n".join(lines)


def add_a_cell(data: bytearray, random: Random) -> None:
    lines = bytes(data).split(b"\n")
    lines[random.randrange(len(lines))] += b"," + random.choice(CELLS)
    data[:] = b"\n".join(lines)


CELLS = (
    b"", b"0", b"1", b"2", b"-1", b"1.0", b"nan", b"1e400", b"NA", b'"', b'"a\nb"', b"'", b"\0", b"\xff\xfe",
    b"a" * 5000, b"1e30", b"-1e300",
    b"../../../../etc/passwd", b"/dev/zero", b"=1+1", b"\r", "\u202e\U0001f9e0".encode(), b"9" * 400, b"ID_0_any", b" ",
)  # fmt: skip
TEXT: Sequence[Damage] = (*GENERAL, swap_lines, change_a_cell, change_a_cell, add_a_cell)


@dataclass
class Subject:
    """A sound file of one kind, what reads it, and what is right to come of a damaged one."""

    name: str
    content: bytes
    kinds: Sequence[Damage]
    put: Callable[[bytes], Any]
    """Writes the damaged content where it belongs and reads it whole: what came of it, to be compared."""
    sound: Any = None
    outcomes: Counter[str] = field(default_factory=Counter)


def subjects(root: Path) -> Iterator[Subject]:
    kaggle = write_kaggle(root / "kaggle")
    labels = kaggle / "stage_2_train.csv"
    yield text_of("labels", labels, lambda: read_labels(labels), as_pandas_reads(labels))
    table = write_table(root / "table.csv", kaggle)
    yield text_of("table", table, lambda: read_table(table)[1], as_the_table_says(table))
    folds = root / "folds.csv"
    images = [f"ID_{number:09x}" for number in range(IMAGES)]
    members = pd.DataFrame({"image_id": images, "patient_id": images})
    pd.DataFrame({"image_id": images, "patient_id": images, "fold": [n % 3 for n in range(IMAGES)]}).to_csv(
        folds, index=False
    )
    yield text_of("folds", folds, lambda: read_folds(folds, members), as_the_folds_say(folds))
    yield from archives(root, kaggle)
    yield from parts_of_a_store(root, kaggle)
    checkpoint = small_checkpoint(root / "small.ckpt")
    hu = np.random.default_rng(0).integers(-1000, 200, (2, 1, 64, 64), np.int16)
    yield Subject(
        "checkpoint",
        checkpoint.read_bytes(),
        GENERAL,
        lambda content: predicted(checkpoint, content, hu),
        kinds_sound(hu, checkpoint),
    )


def kinds_sound(hu: np.ndarray, checkpoint: Path) -> bytes:
    return predicted(checkpoint, checkpoint.read_bytes(), hu)


def predicted(checkpoint: Path, content: bytes, hu: np.ndarray) -> bytes:
    checkpoint.write_bytes(content)
    predictor = Predictor.load(checkpoint, "cpu")
    return predictor.predict(list(hu)).probabilities.tobytes()


def text_of(name: str, path: Path, read: Callable[[], Any], right: Any) -> Subject:
    def put(content: bytes) -> Any:
        path.write_bytes(content)
        return read()

    return Subject(name, path.read_bytes(), TEXT, put, right)


def as_pandas_reads(path: Path) -> Callable[[pd.DataFrame], bool]:
    """Whether a table of labels is what another reader makes of the file."""

    def right(found: pd.DataFrame) -> bool:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace")
        rows = rows[rows["ID"] != ""]
        named = rows["ID"].str.rsplit("_", n=1, expand=True)
        other = pd.DataFrame({"image": named[0], "finding": named[1], "label": rows["Label"].astype(float).astype(int)})
        wide = other.pivot_table(index="image", columns="finding", values="label", aggfunc="max")[list(FINDINGS)]
        return bool(len(wide) == len(found) and (wide.sort_index().to_numpy() == found.sort_index().to_numpy()).all())

    return right


def as_the_table_says(path: Path) -> Callable[[pd.DataFrame], bool]:
    """Whether each image's labels stand in the row that names its file."""

    def right(found: pd.DataFrame) -> bool:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace")
        rows = rows[rows["file"] != ""].assign(image=rows["file"].map(lambda file: Path(file).stem))
        known = rows.drop_duplicates("image").set_index("image")[list(FINDINGS)].astype(float)
        return bool(len(found)) and bool((known.loc[found.index].to_numpy() == found.to_numpy()).all())

    return right


def as_the_folds_say(path: Path) -> Callable[[pd.DataFrame], bool]:
    def right(found: pd.DataFrame) -> bool:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace").set_index("image_id")
        return bool((rows["fold"].loc[found["image_id"]].astype(float).to_numpy() == found["fold"].to_numpy()).all())

    return right


def write_kaggle(root: Path) -> Path:
    for number in range(IMAGES):
        image = f"ID_{number:09x}"
        write_slice(
            root / "stage_2_train" / f"{image}.dcm", image=image, patient=f"P{number % 4}", z=number, hu=30 + number
        )
    index = pd.Index([f"ID_{number:09x}" for number in range(IMAGES)], name="image_id")
    table = pd.DataFrame(0, index=index, columns=list(FINDINGS), dtype=np.uint8)
    table.loc[index[::3], ["subdural", "any"]] = 1
    write_labels(root / "stage_2_train.csv", table)
    return root


def write_table(path: Path, kaggle: Path) -> Path:
    names = [f"kaggle/stage_2_train/{file.name}" for file in sorted((kaggle / "stage_2_train").iterdir())]
    rows = pd.DataFrame({"file": names, "patient_id": [f"P{number % 4}" for number in range(len(names))]})
    rows[list(FINDINGS)] = 0
    rows.loc[::3, ["subdural", "any"]] = 1
    rows.to_csv(path, index=False)
    return path


def archives(root: Path, kaggle: Path) -> Iterator[Subject]:
    """Packed and stored; what can be read of a damaged one is what the sound one holds, or its damage is named."""
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        path = root / f"data{method}.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in sorted(kaggle.rglob("*")):
                archive.write(file, file.relative_to(kaggle))
        sound = {file.name: file.read_bytes() for file in (kaggle / "stage_2_train").iterdir()}

        def put(content: bytes, path: Path = path) -> Any:
            path.write_bytes(content)
            source = Rsna(root=path, cache=root / "none", pseudonymize=False)
            cohort, labels = source.load(spacing_required=True, report=silent)
            return {name: cohort.files.read(name) for name in cohort.table["file"]}, labels  # type: ignore[union-attr]

        def right(found: Any, sound: dict[str, bytes] = sound) -> bool:
            read, _ = found
            return bool(read) and all(content in sound.values() for content in read.values())

        yield Subject(f"zip {'packed' if method else 'stored'}", path.read_bytes(), GENERAL, put, right)


def parts_of_a_store(root: Path, kaggle: Path) -> Iterator[Subject]:
    """Each file of a store in turn; what is not refused at once is found by reading the checksums, or is the same."""
    cohort = read_cohort(kaggle / "stage_2_train")
    store = prepare_store(cohort, HeadGeometry(size=16), cache=root / "cache")
    sound = store_content(store.folder)
    for part in sorted(store.folder.iterdir()):
        content = part.read_bytes()

        def put(damaged_content: bytes, part: Path = part, content: bytes = content) -> Any:
            part.write_bytes(damaged_content)
            try:
                return store_content(store.folder)
            finally:
                part.write_bytes(content)

        yield Subject(f"store {part.name}", content, GENERAL, put, lambda found, sound=sound: same(found, sound))


def store_content(folder: Path) -> tuple[bytes, pd.DataFrame, pd.DataFrame] | str:
    store = open_store(folder)
    damage = list(store.damaged())
    if damage:
        return f"damaged: {damage}"
    return store.read(np.arange(len(store))).tobytes(), store.index, store.rejected


def same(found: Any, sound: Any) -> bool:
    if isinstance(found, str):
        return True  # its damage is named by verify=true
    return bool(found[0] == sound[0] and found[1].equals(sound[1]) and found[2].equals(sound[2]))


def is_right(subject: Subject, came: Any) -> bool:
    if callable(subject.sound):
        return bool(subject.sound(came))
    return subject.sound is None or bool(came == subject.sound)


def try_one(subject: Subject, random: Random, wrong: list[str], label: str) -> None:
    content, how = damaged(subject.content, subject.kinds, random)
    start = time.monotonic()
    try:
        came = subject.put(content)
        right = is_right(subject, came)
        subject.outcomes["loaded right" if right else "loaded wrong"] += 1
        if not right:
            wrong.append(f"{label} ({how}): loaded, and not as it is")
    except InputError as refused:
        subject.outcomes["refused"] += 1
        if not str(refused).strip():
            wrong.append(f"{label} ({how}): refused without a word")
    except BaseException as error:
        subject.outcomes["raised"] += 1
        wrong.append(f"{label} ({how}): {type(error).__name__}: {error}"[:300])
    seconds = time.monotonic() - start
    if seconds > SLOWEST_SECONDS:
        wrong.append(f"{label} ({how}): {seconds:.1f} s")


def main(count: int, seed: int) -> list[str]:
    """What was wrong."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        known = list(subjects(Path(folder)))
        for subject in known:
            subject.put(subject.content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            subject = known[number % len(known)]
            try_one(subject, Random(f"{seed} {number}"), wrong, f"{subject.name} {number}")
            subject.put(subject.content)
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        shutil.rmtree(Path(folder) / "cache")
    for subject in known:
        print(f"{subject.name}: {dict(subject.outcomes)}")
    print(f"memory: {more:,} kB more than before")
    if more > MOST_KB:
        wrong.append(f"{more:,} kB more")
    return wrong


if __name__ == "__main__":
    torch.set_num_threads(1)
    command(main, __doc__.partition("\n")[0], count=5_000)
