"""What a parent run says of its jobs: the best, the means over seeds, a table, a chart."""

import numpy as np
import pandas as pd
import pytest

from ich.report.sweep import SHOWN, describe, keys_of, means_of, sweep_chart, table_of
from ich.report.tracking import Child

MONITOR = "val/weighted_log_loss"


def job(number: int, score: float | None, **swept: str) -> Child:
    metrics = {} if score is None else {MONITOR: score, "val/floor": 0.3, "val/auc/any": 1 - score}
    state = "FAILED" if score is None else "FINISHED"
    why, epoch = ("ValueError: no\nslices", None) if score is None else ("", 3)
    return Child(id=f"run{number}", state=state, failure=why, swept=swept, epoch=epoch, metrics=metrics)


SEEDS = [
    job(0, 0.20, lr="1e-4", seed="0"),
    job(1, 0.26, lr="1e-4", seed="1"),
    job(2, 0.10, lr="1e-3", seed="0"),
    job(3, 0.14, lr="1e-3", seed="1"),
    job(4, None, lr="1e-3", seed="2"),
]


def test_a_row_a_job_in_their_order() -> None:
    table = table_of(SEEDS)
    assert table["run"].tolist() == [f"run{number}" for number in range(5)]
    assert table["lr"].tolist() == ["1e-4", "1e-4", "1e-3", "1e-3", "1e-3"]
    assert table[MONITOR].tolist()[:4] == [0.20, 0.26, 0.10, 0.14]
    assert np.isnan(table[MONITOR].iloc[4])
    assert table["val/precision"].isna().all()  # nobody logged it


def test_mean_and_spread_over_seeds_at_each_setting() -> None:
    means = means_of(table_of(SEEDS), keys_of(SEEDS)).set_index("lr")
    assert means["seeds"].to_dict() == {"1e-4": 2, "1e-3": 2}  # the failed one has no score
    assert means.loc["1e-4", f"{MONITOR}:mean"] == pytest.approx(0.23)
    assert means.loc["1e-4", f"{MONITOR}:spread"] == pytest.approx(0.06 / np.sqrt(2))
    assert means.loc["1e-3", f"{MONITOR}:mean"] == pytest.approx(0.12)


def test_seeds_alone_are_one_setting() -> None:
    children = [job(seed, 0.1 + seed / 100, seed=str(seed)) for seed in range(3)]
    means = means_of(table_of(children), keys_of(children))
    assert len(means) == 1
    assert means[f"{MONITOR}:mean"].tolist() == pytest.approx([0.11])
    assert means[f"{MONITOR}:spread"].tolist() == pytest.approx([0.01])


def test_one_seed_has_no_spread() -> None:
    children = [job(0, 0.1, seed="0")]
    assert np.isnan(means_of(table_of(children), ["seed"])[f"{MONITOR}:spread"].iloc[0])


def test_the_description_has_the_best_job_first() -> None:
    lines = describe(table_of(SEEDS), keys_of(SEEDS)).splitlines()
    assert lines[2].split("|")[1:4] == [" lr&emsp; ", " seed&emsp; ", " state&emsp; "]
    first = [line.split("|")[1] for line in lines[4:9]]
    assert first == [f" {lr}&emsp; " for lr in ("1e-3", "1e-3", "1e-4", "1e-4", "1e-3")]
    assert "0.1000" in lines[4]
    assert lines[9:] == ["", "- lr=1e-3, seed=2 is FAILED: ValueError: no slices"]


def test_the_chart_shows_every_score_over_every_key_but_the_seed() -> None:
    figure = sweep_chart(table_of(SEEDS), keys_of(SEEDS))
    (axes,) = figure.axes
    assert axes.get_xlabel() == "lr"
    assert axes.get_xscale() == "log"
    dots, mean, floor = axes.lines
    assert sorted(dots.get_ydata()) == [0.10, 0.14, 0.20, 0.26]
    assert mean.get_ydata() == pytest.approx([0.23, 0.12])
    assert floor.get_ydata() == pytest.approx([0.3, 0.3])
    assert axes.get_ylim() == pytest.approx((0, 0.33))  # nothing is cut off


def test_choices_of_a_group_stand_side_by_side() -> None:
    children = [job(0, 0.2, window="brain"), job(1, 0.1, window="brain_subdural_bone"), job(2, 0.3, window="hu")]
    (axes,) = sweep_chart(table_of(children), ["window"]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["brain", "brain_subdural_bone", "hu"]


def test_a_sweep_without_a_score_has_a_table() -> None:
    table = table_of([job(0, None, lr="1")])
    assert isinstance(table, pd.DataFrame)
    assert set(SHOWN) <= set(table.columns)
