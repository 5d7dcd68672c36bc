"""The three tables of a prediction: probabilities, the challenge's submission, and the files that were refused."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int16

from ich.ct.dicom import BadSlice
from ich.data.labels import write_submission
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.predictor import Predictor
from ich.progress import bar

TABLES = ("probabilities.csv", "rejected.csv", "submission.csv")


class BadOutput(InputError):
    """There is no place to write to."""


def make_output(output: Path) -> None:
    """The folder that predictions go to, before anything is predicted. Raises BadOutput."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(f"{output}: no folder can be made here: {error.strerror}") from error


class BadInput(InputError):
    """There is nothing to predict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Every file in one of two tables: `probabilities` (file, image_id, the six), `rejected` (file, reason, detail)."""

    probabilities: pd.DataFrame
    rejected: pd.DataFrame

    def summary(self) -> str:
        """Such as "59 slices predicted, 2 files are no readable CT slice (not_dicom 2)"."""
        said = f"{len(self.probabilities)} slices predicted"
        if self.rejected.empty:
            return said
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.rejected["reason"].value_counts().items())
        return f"{said}, {len(self.rejected)} files are no readable CT slice ({reasons})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    file: str
    image_id: str
    hu: Int16[np.ndarray, "size size"]


def predict_folder(
    predictor: Predictor, source: Path, *, batch_size: int, leave_out: Path | None = None
) -> Predictions:
    """Try every file of a folder, or one file, in the order of their names; the folder `leave_out` is passed over."""
    root, files = _list_files(source, leave_out)
    read: list[tuple[str, str]] = []
    rows: list[Float64[np.ndarray, "n 6"]] = [np.zeros((0, len(FINDINGS)))]
    rejected: list[tuple[str, str, str]] = []
    with bar("Predicting") as report, ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, batch in enumerate(_read_ahead(pool, predictor, root, files, batch_size)):
            report(min(done * batch_size, len(files)), len(files))
            good = [item for item in batch if isinstance(item, _Read)]
            rejected += [_reason(item, root) for item in batch if isinstance(item, BadSlice)]
            if good:
                rows.append(predictor.predict([item.hu for item in good]))
                read += [(item.file, item.image_id) for item in good]
    named = pd.DataFrame(read, columns=["file", "image_id"])
    probabilities = pd.DataFrame(np.concatenate(rows), columns=list(FINDINGS))
    return Predictions(
        probabilities=pd.concat([named, probabilities], axis=1),
        rejected=pd.DataFrame(rejected, columns=["file", "reason", "detail"]),
    )


def write_predictions(predictions: Predictions, output: Path) -> None:
    """probabilities.csv, rejected.csv, submission.csv; the submission has an image once that several files hold."""
    probabilities, rejected, submission = (output / name for name in TABLES)
    table = predictions.probabilities
    table.to_csv(probabilities, index=False, float_format="%.17g")
    predictions.rejected.to_csv(rejected, index=False)
    images = table.drop_duplicates("image_id")
    write_submission(submission, images["image_id"].tolist(), images[list(FINDINGS)].to_numpy())


def _list_files(source: Path, leave_out: Path | None) -> tuple[Path, list[Path]]:
    if source.is_file():
        return source.parent, [source]
    if not source.is_dir():
        raise BadInput(f"{source}: there is no such file or folder; input= takes a DICOM file or a folder of them")
    passed = leave_out.resolve() if leave_out else None
    if passed and (passed == source.resolve() or passed in source.resolve().parents):
        mine, passed = {passed / name for name in TABLES}, None
    else:
        mine = set()
    files = sorted(
        file
        for file in source.rglob("*")
        if file.is_file() and file.resolve() not in mine and passed not in file.resolve().parents
    )
    if not files:
        raise BadInput(f"{source}: the folder is empty; input= takes a DICOM file or a folder of them")
    return source, files


def _read_ahead(
    pool: ThreadPoolExecutor, predictor: Predictor, root: Path, files: Sequence[Path], size: int
) -> Iterator[list[_Read | BadSlice]]:
    """Lists of up to `size` files read; the next list is read while the network works on this one."""
    waiting: list[Future[_Read | BadSlice]] = []
    for start in range(0, len(files), size):
        coming = [pool.submit(_read, predictor, root, file) for file in files[start : start + size]]
        if waiting:
            yield [future.result() for future in waiting]
        waiting = coming
    yield [future.result() for future in waiting]


def _read(predictor: Predictor, root: Path, file: Path) -> _Read | BadSlice:
    try:
        image_id, hu = predictor.read(file)
    except BadSlice as bad:
        return bad
    return _Read(file=_written(file, root), image_id=image_id, hu=hu)


def _reason(bad: BadSlice, root: Path) -> tuple[str, str, str]:
    return _written(Path(bad.path), root), bad.reason, bad.detail


def _written(file: Path, root: Path) -> str:
    """A file's name as a table can hold it: bytes that are no UTF-8 as escapes."""
    return os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
