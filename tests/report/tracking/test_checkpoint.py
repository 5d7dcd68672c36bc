"""`runs:/ID` to a file, and what is said where there is none."""

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from ich.report.tracking import UnknownCheckpoint, UnknownRun, find_run, open_run, resolve_checkpoint
from ich.report.tracking.checkpoint import unfinished_run
from ich.report.tracking.store import connect


@pytest.fixture
def empty(tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record without any run, as a copy of the session's database before its experiments."""
    shutil.copy(record / "new.db", tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


def train(*files: str) -> str:
    """A run that leaves these checkpoints; its id."""
    with open_run(name="test", params={}, tags={}) as run:
        for file in files:
            run.log_text(file, f"checkpoints/{file}")
    return run.id


def test_a_run_is_its_best_checkpoint_and_last_its_last(empty: Path) -> None:
    run_id = train("best.ckpt", "last.ckpt")
    folder = empty / "mlruns" / "ich" / run_id / "artifacts" / "checkpoints"
    assert resolve_checkpoint(f"runs:/{run_id}") == folder / "best.ckpt"
    assert resolve_checkpoint(f"runs:/{run_id}/last") == folder / "last.ckpt"


def test_latest_is_the_newest_run_that_has_the_checkpoint(empty: Path) -> None:
    both, best = train("best.ckpt", "last.ckpt"), train("best.ckpt")
    train()
    assert best in str(resolve_checkpoint("runs:/latest"))
    assert both in str(resolve_checkpoint("runs:/latest/last"))


def test_a_file_is_itself(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    assert resolve_checkpoint(str(tmp_path / "best.ckpt")) == tmp_path / "best.ckpt"


def test_a_checkpoint_elsewhere_is_downloaded(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = train("best.ckpt")
    monkeypatch.setattr("ich.report.tracking.checkpoint.local_path", lambda uri: None)  # as for a server's artifacts
    path = resolve_checkpoint(f"runs:/{run_id}", cache=tmp_path / "cache")
    assert path.is_relative_to(tmp_path / "cache" / run_id)
    assert path.read_text() == "best.ckpt"


def test_a_run_gives_any_of_its_files(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run(name="first", params={}, tags={}) as run:
        for name in ("predictions/val.csv", "folds.csv"):
            run.log_text(name, name)
    train("best.ckpt")
    for uri in (f"runs:/{run.id}", "runs:/latest"):
        kept = find_run(uri, "predictions/val.csv", cache=tmp_path / "cache")
        assert (kept.id, kept.name) == (run.id, "first")
    for on_a_server in (False, True):
        if on_a_server:
            monkeypatch.setattr("ich.report.tracking.checkpoint.local_path", lambda uri: None)
        for name in ("predictions/val.csv", "folds.csv"):
            file = kept.file(name)
            assert file is not None
            assert file.read_text() == name
        assert kept.file("predictions/test.csv") is None
        assert kept.file("test.csv") is None


def test_a_run_without_the_file_is_refused(empty: Path) -> None:
    run_id = train("best.ckpt")
    with pytest.raises(UnknownRun, match=r"holds no .*/predictions/val.csv; train first"):
        find_run(f"runs:/{run_id}", "predictions/val.csv")


def refusal(uri: str) -> str:
    with pytest.raises(UnknownCheckpoint) as refused:
        resolve_checkpoint(uri)
    return str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none.ckpt"
    assert refusal(str(missing)) == f"{missing}: no such file; give one that train.py wrote, or runs:/ID of a run"


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert "no such file" in refusal(str(tmp_path))


def test_an_unknown_run_is_refused_with_the_newest_that_can_be_used(empty: Path) -> None:
    older, newer = train("best.ckpt"), train("best.ckpt")
    train()
    uri = f"sqlite:///{empty / 'mlflow.db'}"
    assert refusal("runs:/0") == (
        f"runs:/0: no such run in {uri}; the newest that can be used: runs:/{newer}, runs:/{older}"
    )


def test_a_mistyped_run_is_refused_with_the_nearest(empty: Path) -> None:
    run_id = train("best.ckpt")
    train("best.ckpt")
    assert refusal(f"runs:/{run_id[:-2]}").endswith(f"did you mean runs:/{run_id}?")
    assert refusal("runs:/latst").endswith("did you mean runs:/latest?")


def test_a_run_without_checkpoints_is_refused_with_its_state_and_the_place(client: MlflowClient, empty: Path) -> None:
    run_id, other = train(), train("best.ckpt")
    place = empty / "mlruns" / "ich" / run_id / "artifacts" / "checkpoints" / "last.ckpt"
    assert refusal(f"runs:/{run_id}/last") == (
        f"runs:/{run_id}/last: this run (FINISHED) holds no {place}; train first: python train.py"
    )
    assert refusal(f"runs:/{run_id}").endswith(f"the newest that can be used: runs:/{other}")


def test_before_any_training_the_way_out_is_to_train(empty: Path) -> None:
    expected = f"runs:/latest: no run in sqlite:///{empty / 'mlflow.db'} holds checkpoints/best.ckpt; train first"
    assert refusal("runs:/latest").startswith(expected)


def test_asking_for_a_run_makes_no_database(empty: Path) -> None:
    (empty / "mlflow.db").unlink()
    there = f"sqlite:///{empty / 'mlflow.db'}"
    assert refusal("runs:/0123") == f"runs:/0123: no such run in {there}; train first: python train.py"
    assert refusal("runs:/latest").startswith(f"runs:/latest: no run in {there} holds checkpoints/best.ckpt; train")
    assert unfinished_run("digest", "0123") is None
    assert not [*empty.iterdir()]


def test_another_name_in_a_run_is_refused_with_the_two_there_are() -> None:
    assert refusal("runs:/ID/first") == "runs:/ID/first: a run has runs:/ID (its best checkpoint) and runs:/ID/last"


@pytest.mark.parametrize("run_id", ["", "..", "../..", "%", "x" * 300, "a b'"])
def test_an_odd_run_id_is_an_unknown_run(empty: Path, run_id: str) -> None:
    connect()
    assert refusal(f"runs:/{run_id}").endswith("train first: python train.py") or "a run has" in refusal(
        f"runs:/{run_id}"
    )
