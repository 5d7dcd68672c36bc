"""A CSV that people write: every cell as text, and the line on which each row stands."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ich.errors import InputError


def read_rows(path: Path, *, columns: Sequence[str], refuse: type[InputError]) -> pd.DataFrame:
    """Its rows by line, the header's being 1; blank ones are passed over. Raises `refuse` where a column is missing."""
    try:
        # As text: a patient may be called NA or 007, which pandas would take for nothing and for a number.
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise refuse(f"{path}: no table can be read: {error}") from error
    if not isinstance(rows.index, pd.RangeIndex):  # what stands before as many cells as there are names
        raise refuse(f"{path}, line 2: it has more cells than the header names")
    if missing := [name for name in columns if name not in rows]:
        needed = f"it lacks {', '.join(missing)}; its columns are {', '.join(map(str, rows.columns))}"
        raise refuse(f"{path}: {needed}; names are separated by commas")
    rows.index = rows.index + 2
    rows = rows[(rows != "").any(axis=1)]
    if not len(rows):
        raise refuse(f"{path}: there is no row under its header")
    return rows


def refuse_rows(path: Path, wrong: pd.Series, column: pd.Series, why: str, *, refuse: type[InputError]) -> None:
    """Raise `refuse` where a row is wrong: the first one's line and what stands there; and how many there are."""
    if wrong.any():
        first = int(wrong.to_numpy().argmax())
        more = f" ({wrong.sum()} such lines)" if wrong.sum() > 1 else ""
        raise refuse(f"{path}, line {wrong.index[first]}: {column.name} is {column.iloc[first]!r}; {why}{more}")
