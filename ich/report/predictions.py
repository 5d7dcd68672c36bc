"""What a prediction leaves: probabilities, the challenge's submission, the files that were refused, and a summary."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from ich.calibration import Calibration
from ich.ct.dicom import BadSlice
from ich.ct.refusal import printable
from ich.data.labels import write_submission
from ich.data.pseudonym import AS_THEY_ARE, Pseudonyms, write_names
from ich.data.store.shard import whole
from ich.data.threads import in_order
from ich.errors import InputError
from ich.findings import FINDINGS
from ich.predictor import Predictor, Read
from ich.progress import bar, counted

FILES = ("probabilities.csv", "rejected.csv", "submission.csv", "summary.json")
EXPLANATIONS, UNFINISHED = "explanations", "explanations.unfinished"
"""Folders beside these files; the second has the first's name once it is whole."""
EXPLAINED = "table.csv"
"""In both, written last: a folder without it is somebody else's."""

Predicted = Callable[[Sequence[tuple[str, Read]], Float64[np.ndarray, "n 6"]], None]
"""Told of each batch: the files with their slices, and the probabilities."""


class BadOutput(InputError):
    """There is no place to write to."""


def make_output(output: Path) -> None:
    """The folder that predictions go to, before anything is predicted. Raises BadOutput.

    Explanations that a stopped prediction left unfinished are of other files, and go.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(f"{output}: no folder can be made here: {error.strerror}") from error
    shutil.rmtree(output / UNFINISHED, ignore_errors=True)


class BadInput(InputError):
    """There is nothing to predict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Every file in one of two tables: `probabilities` (file, image_id, the six), `rejected` (file, reason, detail).

    Of `any_raised` slices the network thought `any` less likely than one of its kinds, and `any` was raised to that.
    `calibration` is what probabilities went through, None where they are the network's own.
    """

    probabilities: pd.DataFrame
    rejected: pd.DataFrame
    any_raised: int
    calibration: Calibration | None

    @property
    def reasons(self) -> dict[str, int]:
        """How many files were refused for each reason."""
        return {str(reason): int(count) for reason, count in self.rejected["reason"].value_counts().items()}

    def summary(self) -> str:
        """Such as "59 slices predicted (any raised in 3), 2 files are no readable CT slice (not_dicom 2)"."""
        raised = f" (any raised to its largest kind in {self.any_raised:,})" if self.any_raised else ""
        said = f"{counted(len(self.probabilities), 'slice')} predicted{raised}"
        if self.rejected.empty:
            return said
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.reasons.items())
        refused = counted(len(self.rejected), "file is", "files are")
        return f"{said}, {refused} no readable CT slice ({reasons})"


@dataclass(frozen=True, slots=True)
class _Tried:
    """A file and what came of it, in its place among all files."""

    file: Path
    read: Read | BadSlice


def predict_folder(
    predictor: Predictor,
    source: Path,
    *,
    batch_size: int,
    leave_out: Path | None = None,
    predicted_batch: Predicted | None = None,
    pseudonyms: Pseudonyms = AS_THEY_ARE,
    names: Path | None = None,
) -> Predictions:
    """Try every file of a folder, or one file; tables are in the order of their names. `leave_out` is passed over.

    Files and images go by their `pseudonyms`; `names` is a table to be of the files that do.
    """
    root, files = _list_files(source, leave_out)
    called = {file: pseudonyms.of_file(_written(file, root)) for file in files}
    if names:
        write_names(names, {new: old for file, new in called.items() if new != (old := _written(file, root))})
    predicted: list[pd.DataFrame] = [_table([], np.zeros((0, len(FINDINGS))))]
    rejected: list[tuple[str, str, str]] = []
    raised = 0
    with bar("Predicting") as report:
        tried = _try_all(predictor, files, ahead=2 * batch_size)
        done = 0
        while batch := [*islice(tried, batch_size)]:
            done += len(batch)
            rejected += [
                (called[one.file], one.read.reason, one.read.detail) for one in batch if isinstance(one.read, BadSlice)
            ]
            good = [
                (called[one.file], replace(one.read, image_id=pseudonyms.of(one.read.image_id)))
                for one in batch
                if isinstance(one.read, Read)
            ]
            if good:
                named = [(file, one.image_id) for file, one in good]
                probabilities, mended = predictor.predict([one.hu for _, one in good])
                raised += mended
                predicted.append(_table(named, probabilities))
                if predicted_batch:
                    predicted_batch(good, probabilities)
            report(done, len(files))
    order = {name: place for place, name in enumerate(called.values())}
    tables = pd.concat(predicted, ignore_index=True), pd.DataFrame(rejected, columns=["file", "reason", "detail"])
    good_files, bad_files = (
        table.sort_values("file", key=lambda column: column.map(order), ignore_index=True) for table in tables
    )
    return Predictions(
        probabilities=good_files, rejected=bad_files, any_raised=raised, calibration=predictor.calibration
    )


def _try_all(predictor: Predictor, files: Sequence[Path], *, ahead: int) -> Iterator[_Tried]:
    """Each file alone, or series by series where the network sees neighbours."""
    together = ([files[place] for place in some] for some in predictor.together(files))

    def read(some: list[Path]) -> list[_Tried]:
        return [_Tried(file, one) for file, one in zip(some, predictor.read(some), strict=True)]

    for some in in_order(read, together, ahead=ahead if predictor.depth == 1 else 2):
        yield from some


def _table(named: Sequence[tuple[str, str]], probabilities: Float64[np.ndarray, "n 6"]) -> pd.DataFrame:
    names = pd.DataFrame(named, columns=["file", "image_id"], dtype=object)
    return pd.concat([names, pd.DataFrame(probabilities, columns=list(FINDINGS))], axis=1)


def write_predictions(predictions: Predictions, output: Path) -> None:
    """probabilities.csv, rejected.csv, submission.csv, summary.json, each whole or not at all.

    The submission has an image once that several files hold. Explanations of an earlier prediction go first, so that
    none lie beside tables of other files.
    """
    if (output / EXPLANATIONS / EXPLAINED).is_file():
        shutil.rmtree(output / EXPLANATIONS)
    probabilities, rejected, submission, summary = (output / name for name in FILES)
    table = predictions.probabilities
    images = table.drop_duplicates("image_id")
    with whole(probabilities) as file:
        table.to_csv(file, index=False, float_format="%.17g")
    with whole(rejected) as file:
        predictions.rejected.to_csv(file, index=False)
    with whole(submission) as file:
        write_submission(file, images["image_id"].tolist(), images[list(FINDINGS)].to_numpy())
    told = {
        "slices": len(table),
        "any_raised": predictions.any_raised,
        "rejected": predictions.reasons,
        "calibration": predictions.calibration.plain() if predictions.calibration else None,
    }
    with whole(summary) as file:
        file.write(f"{json.dumps(told, indent=1)}\n".encode())


def _list_files(source: Path, leave_out: Path | None) -> tuple[Path, list[Path]]:
    if source.is_file():
        return source.parent, [source]
    if not source.is_dir():
        raise BadInput(f"{source}: there is no such file or folder; input= takes a DICOM file or a folder of them")
    passed = leave_out.resolve() if leave_out else None
    if passed and (passed == source.resolve() or passed in source.resolve().parents):
        mine = {passed / name for name in (*FILES, EXPLANATIONS, UNFINISHED)}
    else:
        mine = {passed} if passed else set()
    files = sorted(
        file
        for file in source.rglob("*")
        if file.is_file() and mine.isdisjoint((file.resolve(), *file.resolve().parents))
    )
    if not files:
        what = "the folder holds no file, and links to folders are not followed"
        raise BadInput(f"{source}: {what}; input= takes a DICOM file or a folder of them")
    return source, files


def _written(file: Path, root: Path) -> str:
    """A file's name as a table can hold it: what is no UTF-8, or would part a row, as escapes."""
    return printable(os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace"))
