"""A value on the command line is what was written there, whatever Hydra's grammar thinks of its letters."""

from pathlib import Path

import pytest

import predict
import train
from ich.config import files
from ich.config.check import check_command
from ich.config.compose import compose, read_job
from ich.config.mistakes import BadConfig


def said(*words: str, key: str, multirun: bool = False) -> list[str]:
    """A key of predict.py as Hydra composes it, in every job."""
    job, mistakes = read_job(words, conf=files.CONF, name="predict", keys=predict.Keys, multirun=multirun)
    assert not mistakes
    (one,) = (one for one in job.overrides if one.key_or_group == key)
    values = one.sweep_string_iterator() if one.is_sweep_override() else [one.get_value_string()]
    found = []
    for value in values:
        again, _ = read_job([f"{key}={value}"], conf=files.CONF, name="predict", keys=predict.Keys)
        found.append(compose(again)[key])
    return found


def refusal(*words: str, multirun: bool = False) -> str:
    with pytest.raises(BadConfig) as caught:
        check_command(words, name="train", keys=train.Keys, conf=files.CONF, multirun=multirun)
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "/data/a=b", "/data/[x]", "/data/[x", "/data/{x}y", "/data/Köln", "/data/it's", '/data/"a" b', "/a b/c d",
        "/a,b", "/a's,b", "/a\\", "/a'\\", "/a#b&c!d^e~f;g", "f(x)", "/a/名前/x=[1,2]",
    ],
)  # fmt: skip
def test_a_path_is_taken_as_it_stands(path: str) -> None:
    assert said(f"input={path}", key="input") == [path]


@pytest.mark.parametrize(("word", "path"), [("'it''s'", "it's"), ("'/a,b'", "/a,b"), ('"/a=b"', "/a=b")])
def test_quotes_around_a_value_are_no_part_of_it(word: str, path: str) -> None:
    assert said(f"input={word}", key="input") == [path]


def test_a_comma_is_a_sweep_in_a_multirun_alone() -> None:
    assert said("input=/a=b,/c", key="input", multirun=True) == ["/a=b", "/c"]
    assert said("input='/a,b',/[c],Köln", key="input", multirun=True) == ["/a,b", "/[c]", "Köln"]
    assert said("input=/a=b,/c", key="input") == ["/a=b,/c"]


def test_a_comma_in_the_path_of_a_group_is_part_of_it() -> None:
    job, _ = read_job(["data=rsna", "data.root=/a,b"], conf=files.CONF, name="train", keys=train.Keys)
    assert compose(job).data.root == "/a,b"


def test_several_values_of_anything_else_need_a_multirun_or_quotes() -> None:
    refused = refusal("model.name=a,b", "seed=x")
    assert "model.name: several values are a sweep: add -m" in refused
    assert """quote one value with a comma in it: 'model.name="a,b"'""" in refused
    assert "seed: 'x' is not a whole number" in refused  # the rest is checked, too


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("optimizer.lr=[1", "optimizer.lr: '[1' is not a number"),
        ("window=a=b", "window: there is no window 'a=b'"),
        ("Größe=1", "Größe=1: a command line has key=value"),
        ("=1", "a command line has key=value"),
        ("seed=range(1,2,3,4,5)", "seed: TypeError while evaluating 'range(1,2,3,4,5)': too many positional arguments"),
    ],
)
def test_a_mistake_stays_one(word: str, what: str) -> None:
    assert what in refusal(word)


@pytest.mark.parametrize("values", ["range(5,5)", "range(1,2,0)", "range(1.0,2.0,0)", "glob(x*)"])
def test_a_sweep_over_nothing_is_refused(values: str) -> None:
    assert f"seed: {values} has no values to run" in refusal(f"seed={values}", multirun=True)


def test_glob_runs_the_choices_of_a_group() -> None:
    jobs = check_command(["window=glob(b*,exclude=*3)"], name="train", keys=train.Keys, conf=files.CONF, multirun=True)
    assert [Path(compose(job).window._target_).name for job in jobs] == ["ich.ct.windowing.WindowStack"] * 2
    assert [job.overrides[-1].value() for job in jobs] == ["brain", "brain_subdural_bone"]
