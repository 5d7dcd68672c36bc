"""A sweep reads its files once, and every job of it is what Hydra itself would make of it."""

from pathlib import Path
from typing import Any

import pytest

import train
from ich.config import compose, files
from ich.config.check import check_command
from ich.config.compose import read_job


def test_values_are_set_as_hydra_sets_them() -> None:
    words = (
        "experiment=demo", "window=brain3", "optimizer.amsgrad=true", "window.windows.0.width=90", "data.cache=/a=b",
        "data.repeat={any: 2}", "optimizer.betas=[0.8,0.9]", "scheduler.max_lr=${seed}", "checkpoint='runs:/1'",
        "hydra.run.dir=/out", "data.policies.metal=null", "seed=1",
    )  # fmt: skip
    job, _ = read_job(words, conf=files.CONF, name="train", keys=train.Keys)
    ours, of_hydra = compose.compose(job), compose._compose_words(job, job.spoken())
    assert ours == of_hydra
    assert compose.plain(ours) == compose.plain(of_hydra)
    assert ours.data.repeat == {**compose.plain(compose.compose(job.with_overrides([])))["data"]["repeat"], "any": 2}


@pytest.mark.parametrize("experiment", [file.stem for file in sorted((files.CONF / "experiment").glob("*.yaml"))])
def test_the_model_that_is_typed_beside_an_experiment_is_the_one_that_learns(experiment: str) -> None:
    words = (f"experiment={experiment}", "model=mobilenetv2_100")
    (job,) = check_command(words, name="train", keys=train.Keys, conf=files.CONF, multirun=False)
    assert compose.compose(job).model.name == "mobilenetv2_100"


def test_the_jobs_of_a_sweep_do_not_see_each_others_values() -> None:
    words = ("optimizer.lr=1e-2,1e-3", "data.repeat={any: 2},{any: 3}", "window=brain,hu")
    jobs = check_command(words, name="train", keys=train.Keys, conf=files.CONF, multirun=True)
    for job in jobs:
        assert compose.compose(job) == compose._compose_words(job, job.spoken())
        of_files = compose.compose(job.with_overrides(one for one in job.overrides if one.key_or_group == "window"))
        assert (of_files.data.repeat.any, of_files.optimizer.lr) == (1, 1e-4)


def test_a_long_sweep_reads_its_files_once_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    whole = compose._compose_words

    def counted(job: compose.Job, words: list[str]) -> Any:
        read.append(words)
        return whole(job, words)

    monkeypatch.setattr(compose, "_compose_words", counted)
    words = ("data.fold_seed=range(0,10)", "window=brain,hu")
    assert len(check_command(words, name="train", keys=train.Keys, conf=files.CONF, multirun=True)) == 11
    assert sorted(read) == [["window=brain"], ["window=hu"]]


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one: 1\n")
    assert files.keys(file) == {"one": 1}
    file.write_text("\nother: 1\n")
    assert files.keys(file) == {"other": 2}
