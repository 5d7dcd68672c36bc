"""What makes two runs differ, from what each has kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from ich.errors import InputError
from ich.findings import FINDINGS
from ich.progress import counted
from ich.report.tracking import KeptRun, find_run

CONFIG, SLICES, ENVIRONMENT = "config.yaml", "slices.parquet", "environment.txt"
"""Files of a run."""
COLUMNS = ("image_id", "pixels", "fold", *FINDINGS)
"""Of SLICES, a row a slice. `pixels`: 32 bits of all its HU, then 32 of the prepared slice, as in a store's index."""
SCORE, PARTS = "val/weighted_log_loss", ("val", "test", "train")
"""What is looked at first, and then in this order."""
CODE_TAGS = {"mlflow.source.git.commit": "commit", "mlflow.source.git.dirty": "changed since the commit"}


class BadRun(InputError):
    """A run whose files cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A run as it is compared; `slices` and `environment` are None where the run kept none."""

    name: str
    config: Mapping[str, object]
    slices: pd.DataFrame | None
    environment: list[str] | None
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Of each kind the differences, a line each; None where one of the runs does not tell."""

    names: tuple[str, str]
    differences: Mapping[str, list[str] | None]

    def text(self, most: int) -> str:
        """`most` lines of each kind."""
        lines = [f"a: {self.names[0]}", f"b: {self.names[1]}"]
        for kind, found in self.differences.items():
            if not found:
                lines.append(f"{kind}: {'the same' if found is not None else 'not kept by both runs'}")
                continue
            lines += [f"{kind}: {counted(len(found), 'difference')}", *(f"  {one}" for one in found[:most])]
            lines += [f"  and {len(found) - most} more (most={len(found)} names them)"] if len(found) > most else []
        return "\n".join(lines)


def read_kept(uri: str) -> Kept:
    """A run of `runs:/ID`. Raises BadRun, and what a run that cannot be found raises."""
    run = find_run(uri, CONFIG)
    data = run.run.data
    return Kept(
        name=f"runs:/{run.id} ({run.name})",
        config=_read_config(run),
        slices=_read_slices(run),
        environment=_read_environment(run),
        tags=dict(data.tags),
        metrics=dict(data.metrics),
    )


def compare_runs(a: Kept, b: Kept) -> Comparison:
    config = _changed(a.config, b.config)
    slices = None
    if a.slices is not None and b.slices is not None:
        slices = a.slices.add_suffix("_a").join(b.slices.add_suffix("_b"), how="outer")
    other_geometry = any(line.startswith("geometry.") for line in config)
    code = [{said: one.tags[tag] for tag, said in CODE_TAGS.items() if tag in one.tags} for one in (a, b)]
    packages = None
    if a.environment is not None and b.environment is not None:
        packages = _changed(_packages(a.environment), _packages(b.environment))
    return Comparison(
        names=(a.name, b.name),
        differences={
            "config": config,
            "data": None if slices is None else [*_data(slices, other_geometry)],
            "folds": None if slices is None else [*_folds(slices)],
            "code": _changed(*code),
            "environment": packages,
            "metrics": [*_metrics(a.metrics, b.metrics)],
        },
    )


def _changed(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    """A line for each key that has another value, or that one of them has alone."""
    return [_line(key, a, b) for key in sorted({*a, *b}) if key not in a or key not in b or a[key] != b[key]]


def _line(key: str, a: Mapping[str, object], b: Mapping[str, object]) -> str:
    if key in a and key in b:
        return f"{key}: {a[key]} in a, {b[key]} in b"
    run, value = ("a", a[key]) if key in a else ("b", b[key])
    return f"{key}: in {run} alone" + (f" ({value})" if value != "" else "")


def _data(both: pd.DataFrame, other_geometry: bool) -> Iterator[str]:
    """Slices that one run has alone, and those whose pixels or labels are others."""
    in_a, in_b = both["fold_a"].notna(), both["fold_b"].notna()
    yield from (f"{image}: in a alone" for image in both.index[in_a & ~in_b])
    yield from (f"{image}: in b alone" for image in both.index[in_b & ~in_a])
    shared = both[in_a & in_b]
    pixels = [shared[f"pixels_{run}"].to_numpy(np.uint64) for run in "ab"]
    if other_geometry:  # prepared in two ways, so that only the file's own pixels tell
        pixels = [one >> np.uint64(32) for one in pixels]
    yield from (f"{image}: other pixels" for image in shared.index[pixels[0] != pixels[1]])
    for finding in FINDINGS:
        a, b = (shared[f"{finding}_{run}"].astype(int) for run in "ab")
        yield from (f"{image}: {finding} {a[image]} in a, {b[image]} in b" for image in shared.index[a != b])


def _folds(both: pd.DataFrame) -> Iterator[str]:
    shared = both.dropna(subset=["fold_a", "fold_b"])
    moved = shared[shared["fold_a"] != shared["fold_b"]]
    for image, a, b in moved[["fold_a", "fold_b"]].astype(int).itertuples():
        yield f"{image}: fold {a} in a, {b} in b"


def _packages(lines: list[str]) -> dict[str, str]:
    """Version by package; the rest (Python, devices) as it stands."""
    return {line.split("==")[0]: line.partition("==")[2] for line in lines}


def _metrics(a: Mapping[str, float], b: Mapping[str, float]) -> Iterator[str]:
    """The score first, then validation, test, training, and the machine last."""

    def place(name: str) -> tuple[bool, int, str]:
        part = name.partition("/")[0]
        return name != SCORE, PARTS.index(part) if part in PARTS else len(PARTS), name

    for name in sorted({*a, *b}, key=place):
        one, other = a.get(name), b.get(name)
        if one is None or other is None:
            yield f"{name}: in {'a' if other is None else 'b'} alone"
        elif one != other and not (np.isnan(one) and np.isnan(other)):
            yield f"{name}: {one:.6g} in a, {other:.6g} in b ({other - one:+.3g})"


def _read_config(run: KeptRun) -> dict[str, object]:
    path = _file(run, CONFIG)
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        return dict(_leaves("", settings))
    except (OSError, ValueError, RecursionError, AttributeError, yaml.YAMLError) as error:
        raise BadRun(f"{path}: no configuration can be read: {error}") from error


def _leaves(prefix: str, node: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def _read_slices(run: KeptRun) -> pd.DataFrame | None:
    path = run.file(SLICES)
    if path is None:
        return None
    try:
        table = pd.read_parquet(path, columns=list(COLUMNS)).astype({"fold": "Int64", "pixels": "UInt64"})
        if table["image_id"].duplicated().any():
            raise ValueError("an image stands twice")
        return table.set_index("image_id")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise BadRun(f"{path}: no table of slices can be read: {error}") from error


def _read_environment(run: KeptRun) -> list[str] | None:
    path = run.file(ENVIRONMENT)
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path else None


def _file(run: KeptRun, name: str) -> Path:
    path = run.file(name)
    assert path is not None  # it was found by it
    return path
