"""What a sweep found: a table of its jobs, means over seeds, and a chart over the swept keys, in the parent run."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ich.model.learner import MONITOR
from ich.progress import counted
from ich.report import charts
from ich.report.charts import DARK, GREY, WIDTH, styled
from ich.report.rescue import rescue
from ich.report.tracking import Child, Run, open_sweep, read_children, ui_command

SHOWN = (MONITOR, "val/floor", "val/skill", "val/auc/any", "val/average_precision/any", "val/precision", "val/recall")
PRINTED = (MONITOR, "val/floor", "val/auc/any")
SEED = "seed"


@contextmanager
def record_sweep(command: Sequence[str]) -> Iterator[None]:
    """Open the parent of a multirun; however the multirun ends, what its jobs found is put into it."""
    with open_sweep(command) as parent:
        try:
            yield
        finally:
            rescue()
            children = read_children(parent.id, monitor=MONITOR, names=SHOWN)
            write_sweep(parent, children)
            show_sweep(parent.id, children)


def write_sweep(parent: Run, children: Sequence[Child]) -> None:
    """sweep.csv, means.csv where seeds were swept, a chart, and in the parent's description the same as a table."""
    jobs = table_of(children)
    if jobs.empty:
        return
    keys = keys_of(children)
    scored = jobs[jobs[MONITOR].notna()]
    best = scored.sort_values(MONITOR, kind="stable").iloc[0] if len(scored) else None
    tags = {"mlflow.note.content": describe(jobs, keys)}
    if best is not None:
        tags["best_child"] = str(best["run"])
        parent.log_metrics({f"best/{name}": float(best[name]) for name in SHOWN if pd.notna(best[name])}, epoch=0)
    with tempfile.TemporaryDirectory() as folder:
        jobs.to_csv(Path(folder) / "sweep.csv", index=False)
        if SEED in keys:
            means = means_of(jobs, keys)
            means.to_csv(Path(folder) / "means.csv", index=False)
            if len(means) == 1:
                logged = means.drop(columns="seeds").iloc[0].dropna()
                parent.log_metrics({f"{of}/{name}": float(value) for (name, of), value in _split(logged)}, epoch=0)
        if best is not None:
            charts.save(sweep_chart(jobs, keys), Path(folder) / "sweep.svg")
        for file in sorted(Path(folder).iterdir()):
            parent.log_file(file)
    parent.set_tags(tags)


def show_sweep(parent: str, children: Sequence[Child]) -> None:
    """On the screen: the jobs, the best first, and where to look for them."""
    jobs, keys = table_of(children), keys_of(children)
    if jobs.empty:
        return
    jobs = jobs.sort_values(MONITOR, kind="stable")
    table = Table(*keys, "state", *(name.removeprefix("val/") for name in PRINTED), box=SIMPLE_HEAD)
    for _, job in jobs.iterrows():
        table.add_row(*_cells(job, keys, PRINTED))
    console = Console()
    console.print(f"\nsweep of {counted(len(jobs), 'job')}, validation at each one's best epoch, the best job first")
    console.print(table)
    best = f"best runs:/{jobs['run'].iloc[0]}; " if pd.notna(jobs[MONITOR].iloc[0]) else ""
    console.print(f"{best}parent runs:/{parent}; open the runs with: {ui_command()}", highlight=False, soft_wrap=True)


def keys_of(children: Sequence[Child]) -> list[str]:
    """The swept keys."""
    return list(dict.fromkeys(key for child in children for key in child.swept))


def table_of(children: Sequence[Child]) -> pd.DataFrame:
    """A row a job: run, state, its values of the swept keys, its best epoch, its metrics there, why it failed."""
    rows = [
        {"run": child.id, "state": child.state}
        | child.swept
        | {"epoch": child.epoch}
        | {name: child.metrics.get(name, float("nan")) for name in SHOWN}
        | {"failure": child.failure or None}
        for child in children
    ]
    return pd.DataFrame(rows)


def means_of(jobs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Over the seeds: a row for each setting of the other keys, with `seeds`, and each metric's mean and spread.

    The spread is the standard deviation of a sample (n - 1); it is not defined for one seed.
    """
    others = [key for key in keys if key != SEED]
    finished = jobs[jobs[MONITOR].notna()]
    grouped = finished.groupby(others or np.zeros(len(finished), np.int64), sort=False)
    means = grouped[[SEED]].nunique().rename(columns={SEED: "seeds"})
    for name in SHOWN:
        means[f"{name}:mean"], means[f"{name}:spread"] = grouped[name].mean(), grouped[name].std()
    return means.reset_index() if others else means.reset_index(drop=True)


def describe(jobs: pd.DataFrame, keys: Sequence[str]) -> str:
    """The jobs, the best first, as Markdown, which MLflow shows above a run."""
    ranked = jobs.sort_values(MONITOR, kind="stable")
    head = [*keys, "state", *(name.removeprefix("val/") for name in SHOWN)]
    lines = [_row(head), "|" + " --- |" * len(head)]
    for _, job in ranked.iterrows():
        lines.append(_row(_cells(job, keys, SHOWN)))
    failures = [
        f"- {', '.join(f'{key}={job[key]}' for key in keys)} is {job['state']}: {' '.join(job['failure'].split())}"
        for _, job in ranked[ranked["failure"].notna()].iterrows()
    ]
    said = "\n\n" + "\n".join(failures) if failures else ""
    return "Validation at each job's best epoch, the best job first.\n\n" + "\n".join(lines) + said


def _cells(job: pd.Series, keys: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """A job's swept values, its state and its metrics, empty where it has none."""
    values = [f"{job[name]:.4f}" if pd.notna(job[name]) else "" for name in metrics]
    return [*(str(job[key]) for key in keys), job["state"], *values]


def _row(cells: Sequence[str]) -> str:
    """With a space after each cell: MLflow's page leaves none."""
    return f"| {' | '.join(f'{cell}&emsp;' for cell in cells)} |"


@styled
def sweep_chart(jobs: pd.DataFrame, keys: Sequence[str]) -> Figure:
    """The score of every job over each swept key, the mean at each value as a line, the floor dashed."""
    shown = [key for key in keys if key != SEED] or [*keys]
    figure = Figure(figsize=(WIDTH, 3.2 * len(shown)), layout="constrained")
    for axes, key in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        _panel(axes, jobs[jobs[MONITOR].notna()], key)
    return figure


def _panel(axes: Axes, jobs: pd.DataFrame, key: str) -> None:
    numbers = pd.to_numeric(jobs[key], errors="coerce")
    order: list[float]
    if numbers.notna().all() and key != SEED:
        places, order = numbers, sorted(numbers.unique())
        if len(order) > 1 and order[0] > 0 and order[-1] / order[0] >= 8:
            axes.set_xscale("log")
        axes.set_xticks(order, [f"{value:g}" for value in order], minor=False)
        axes.minorticks_off()
    else:
        names = list(dict.fromkeys(jobs[key].astype(str)))
        places, order = jobs[key].astype(str).map(names.index), [*range(len(names))]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    axes.plot(places, jobs[MONITOR], "o", color=DARK, mfc="white", ms=6, label="a job")
    means = [jobs[MONITOR][places == value].mean() for value in order]
    axes.plot(order, means, "-", color=DARK, lw=1.5, label="mean")
    floor = float(jobs["val/floor"].mean())
    if np.isfinite(floor):
        axes.axhline(floor, color=GREY, lw=1, ls="--", label="floor (prevalence)")
    axes.set_xlabel(key)
    axes.set_ylabel("weighted log loss,\nvalidation")
    axes.set_ylim(0, 1.1 * np.nanmax([floor, *jobs[MONITOR]]))
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _split(logged: pd.Series) -> Iterator[tuple[tuple[str, str], float]]:
    for column, value in logged.items():
        name, _, of = str(column).rpartition(":")
        yield (name, of), value
