"""Labels: the challenge's long CSV (`ID,Label`, six rows an image) and a wide table (a row an image)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64
from pyarrow import csv

from ich.errors import InputError
from ich.findings import FINDINGS


class BadLabels(InputError):
    """A label table that cannot be trusted."""


def read_labels(path: Path | str) -> pd.DataFrame:
    """The challenge's CSV as a table: index `image_id`, columns FINDINGS, uint8.

    Rows may come in any order, and equal rows twice (as in stage_2_train.csv). Refused: an image with two different answers, a missing
    or unknown finding, a label other than 0 and 1, an *any* that contradicts its kinds.
    """
    ids, labels = _read_long(Path(path))
    cut = pc.replace_substring_regex(ids, r"^(.*)_[^_]*$", r"\1").dictionary_encode().combine_chunks()
    finding = pc.index_in(pc.replace_substring_regex(ids, r"^.*_", ""), value_set=pa.array(FINDINGS))
    if finding.null_count:
        place = int(np.flatnonzero(finding.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadLabels(f"{path}: {ids[place].as_py()!r} does not end with one of {', '.join(FINDINGS)}")
    images = cut.dictionary.to_pandas().astype(str)
    table = _widen(path, images, cut.indices.to_numpy(), finding.to_numpy().astype(np.int64), labels)
    check_any(path, table)
    return table


def _read_long(path: Path) -> tuple[pa.ChunkedArray, np.ndarray]:
    try:
        table = csv.read_csv(
            path, convert_options=csv.ConvertOptions(column_types={"ID": pa.string()}, strings_can_be_null=True)
        )
    except (OSError, pa.ArrowException) as error:
        raise BadLabels(f"{path}: no label table can be read: {error}") from error
    if table.column_names[:2] != ["ID", "Label"]:
        raise BadLabels(
            f"{path}: the header is {','.join(table.column_names)}, not ID,Label as in the challenge's stage_2_train.csv"
        )
    labels = table["Label"]
    if (
        not pa.types.is_integer(labels.type)
        or labels.null_count
        or not pc.all(pc.is_in(labels, pa.array([0, 1], labels.type))).as_py()
    ):
        valid = [str(value) in ("0", "1") for value in labels.to_pylist()]
        line = valid.index(False) + 2 if False in valid else 1
        raise BadLabels(
            f"{path}, line {line}: a label is 0 or 1, not {labels[line - 2].as_py() if line > 1 else 'missing'}"
        )
    return table["ID"], labels.to_numpy().astype(np.uint8)


def _widen(
    path: Path | str, images: pd.Series, image: np.ndarray, finding: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """Two tables of who said 0 and who said 1 show both conflicts and gaps."""
    said = np.zeros((2, len(images), len(FINDINGS)), dtype=bool)
    said[labels, image, finding] = True
    for wrong, what in ((said.all(axis=0), "has two different labels"), (~said.any(axis=0), "has no label")):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise BadLabels(
                f"{path}: {images[row]} {what} for {FINDINGS[column]} ({wrong.any(axis=1).sum()} images have this fault)"
            )
    return pd.DataFrame(said[1].astype(np.uint8), index=pd.Index(images, name="image_id"), columns=list(FINDINGS))


def check_any(path: Path | str, table: pd.DataFrame) -> None:
    """Refuse a table in which *any* is not the largest of the kinds; none of 400,242 rows of the challenge's is so."""
    wrong = table["any"] != table[list(FINDINGS[:-1])].max(axis=1)
    if wrong.any():
        raise BadLabels(
            f"{path}: {table.index[wrong][0]} contradicts itself: any is not the largest of its kinds ({wrong.sum()} images)"
        )


def write_labels(path: Path | str, table: pd.DataFrame) -> None:
    """The wide table as the challenge's CSV."""
    write_submission(path, table.index.tolist(), table[list(FINDINGS)].to_numpy())


def write_submission(
    path: Path | str, image_ids: Sequence[str], values: Float64[np.ndarray, "n 6"] | np.ndarray
) -> None:
    """`ID,Label`, six rows an image, in the order of FINDINGS."""
    ids = [f"{image_id}_{finding}" for image_id in image_ids for finding in FINDINGS]
    pd.DataFrame({"ID": ids, "Label": np.asarray(values).reshape(-1)}).to_csv(path, index=False, float_format="%.17g")
