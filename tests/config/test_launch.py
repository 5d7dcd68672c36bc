"""A door's command line: help without torch, exit codes, one message a failure."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import train
from ich.config import files
from ich.config.job import say
from ich.config.launch import Door, _enter
from tests import warm
from tests.project import REPOSITORY


def door(*words: str, door: str = "train.py", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = warm.run([str(REPOSITORY / door), *words], cwd=Path.cwd())
    assert done.returncode == code, done.stderr
    return done


HEAVY = {"torch", "pytorch_lightning", "mlflow", "numpy", "pandas", "matplotlib", "pydicom"}


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("train", "--help", ("python train.py -m optimizer.lr=", "seed: 0")),
        ("train", "--cfg job", ("prior_bias: true",)),
        ("train", "--cfg job experiment=demo --resolve", ("name: test_byobnet",)),
        ("predict", "--help", ("python predict.py checkpoint=",)),
        ("predict", "--cfg job", ("batch_size: 32",)),
        ("ich.prepare", "--help", ("python -m ich.prepare data=rsna", "\ngeometry=\n")),
        ("ich.explore", "--help", ("python -m ich.explore labels=", "\ndata=\n", "\nwindow=\n", "gallery: 6")),
        ("ich.evaluate", "--help", ("python -m ich.evaluate run=", "cq500", "resamples: 2000")),
        ("ich.compare", "--help", ("python -m ich.compare a=", "most: 20")),
        ("ich.sync", "--help", ("python -m ich.sync", "folder: ")),
    ],
)
def test_help_and_cfg_import_nothing_heavy(name: str, words: str, said: tuple[str, ...]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{name!r}, *{words.split()!r}]\n"
        "try:\n"
        f"    runpy.run_module({name!r}, run_name='__main__')\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code, ended.code\n"
        f"heavy = {HEAVY!r} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    for some in said:
        assert some in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"]])
def test_a_reader_that_has_seen_enough_is_no_failure(words: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "train.py", *words]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_group_choice_and_key() -> None:
    said = door("--help").stdout
    own = {default.group for default in files.defaults(files.CONF / "train.yaml")}
    assert files.groups(files.CONF).keys() - own == {"table"}  # of ich.evaluate
    for group, choices in files.groups(files.CONF).items():
        if group not in own:
            continue
        assert f"\n{group}=\n" in said
        for choice in choices.values():
            assert choice.name in said
            assert choice.description in said
    assert "python train.py -m optimizer.lr=1e-4,3e-4,1e-3" in said
    assert "seed: 0" in said


def test_cfg_job_prints_the_configuration() -> None:
    said = door("--cfg", "job", "experiment=demo", "optimizer.lr=0.5", "--resolve").stdout
    assert "max_lr: 0.5" in said


@pytest.mark.parametrize("word", ["modle=resnet50", "+optimizer.lrr=1", "optimizer.lr=-1"])
def test_a_mistake_in_the_command_exits_with_2(word: str) -> None:
    done = door(word, code=2)
    assert "nothing was started" in done.stderr
    assert "Traceback" not in done.stderr


def test_cfg_job_refuses_a_mistake_too() -> None:
    assert "did you mean lr?" in door("--cfg", "job", "optimizer.lrr=1", code=2).stderr


def test_predict_names_what_is_missing() -> None:
    said = door(door="predict.py", code=2).stderr
    for key in ("checkpoint", "input", "output"):
        assert f"{key} is missing" in said
    assert not os.environ.get("LOCAL_RANK")


def enter(*words: str) -> int:
    """The exit code of train.py, in this process."""
    return _enter(Door(run=train.train, name="train", keys=train.Keys), words)


@pytest.mark.parametrize(
    ("package", "shown"),
    [("optimizer.lr", "0.0001\n"), ("context", "_target_: ich.model.context.Single\n"), ("checkpoint", "null\n")],
)
def test_cfg_job_prints_a_part_of_it(package: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert enter("--cfg", "job", "--package", package) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--cfg", "job", "-p", "optimizer.lrr"], "--package: there is no optimizer.lrr in the configuration"),
        (["--cfg", "job", "--resolve", "data.cache=${nope}"], "data.cache: Interpolation key 'nope' not found"),
        (["--cfg", "hydra", "modle=x"], "modle: there is no such key or group; did you mean model?"),
        (["--info", "all", "modle=x"], "modle: there is no such key or group; did you mean model?"),
        (["--shell-completion"], "--shell-completion: give install=bash (or zsh, fish), or uninstall=bash"),
    ],
)
def test_a_mistake_beside_a_flag_is_named(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert enter(*words) == 2
    assert what in capsys.readouterr().err


def test_what_the_disk_refuses_is_one_line_and_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PermissionError) as refused:
        raise PermissionError(errno.EACCES, "Permission denied", "/cache/runs")
    say(refused.value)
    assert capsys.readouterr().err == "PermissionError: [Errno 13] Permission denied: '/cache/runs'\n"
    with pytest.raises(FileNotFoundError) as caught:
        Path("none").read_bytes()
    say(caught.value)
    assert "Traceback" in capsys.readouterr().err
