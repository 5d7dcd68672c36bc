"""Every mistake is refused before data are touched, all at once, with the key, the choices and the nearest name."""

import re
import shutil
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml

import predict
from ich.config import files
from ich.config.check import check_command, from_plain
from ich.config.compose import compose, plain
from ich.config.mistakes import BadConfig
from ich.config.signature import build
from train import Keys


def check(*words: str, conf: Path = files.CONF, multirun: bool = False) -> Any:
    return check_command(words, name="train", keys=Keys, conf=conf, multirun=multirun)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of conf/ to add files to."""
    return Path(shutil.copytree(files.CONF, tmp_path / "conf"))


def refusal(*words: str, conf: Path = files.CONF, multirun: bool = False) -> str:
    with pytest.raises(BadConfig) as caught:
        check(*words, conf=conf, multirun=multirun)
    said = str(caught.value)
    assert "+" not in said.replace("'+", "").replace(" +", " ") or "append" not in said  # no advice to force a key in
    return said


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "modle=resnet50",
            "modle: there is no such key or group; did you mean model? choices: augment, checkpoint, context",
        ),
        ("optimizer.lrr=1", "optimizer.lrr: there is no such key; did you mean lr? choices: amsgrad, betas"),
        ("+optimizer.lrr=1", "optimizer.lrr: there is no such key; did you mean lr?"),
        (
            "data.root=/data",
            "data.root: there is no such key; it goes with data=rsna or data=table; choices: batch_size",
        ),
        ("optimizer.momentum=0.9", "optimizer.momentum: there is no such key; it goes with optimizer=sgd; choices: am"),
        ("++optimizer.lrr=1", "optimizer.lrr: there is no such key; did you mean lr?"),
        (
            "window=brian3",
            "window: there is no window 'brian3'; did you mean brain3? choices: brain, brain3, brain_subdural_bone",
        ),
        ("experiment=dmo", "experiment: there is no experiment 'dmo'; did you mean demo?"),
        ("optimizer.lr=fast", "optimizer.lr: 'fast' is not a number"),
        ("optimizer.lr=-1", "optimizer.lr: Invalid learning rate: -1.0"),
        ("optimizer.lr='1'", "optimizer.lr: '1' is not a number"),
        ("fit=1", "fit: 1 is not true or false"),
        ("seed=-1", "seed: -1: should be greater than or equal to 0"),
        ("data.cache=", "data.cache: it is empty, which would be the working directory; give a path"),
        ("data.folds_csv=''", "data.folds_csv: it is empty"),
        ("seed.x=1", "seed is one value and has no keys"),
        ("geometry.size=7", "geometry.size"),
        ("data.batch_size=3.5", "data.batch_size: 3.5 is not a whole number"),
        ("data.difficulty=hard", "data.difficulty: 'hard' is not one of demo, easy, base"),
        ("data.repeat.epidurall=2", "data.repeat.epidurall: there is no such key; did you mean epidural?"),
        ("data=rsna", "data.root is missing"),
        ("model.name=resnet5O", "timm has no network 'resnet5O'; near: resnet50"),
        ("~optimizer", "nothing can be left out"),
        ("hydra.job.chdir=true", "of Hydra itself a command line sets only"),
        ("optimizer.lr=1,2", "several values are a sweep: add -m"),
        ("window", "a command line has key=value"),
        ("--verbose", "there is no such flag"),
        ("data.fold=5", "fold=5 is not one of 5 folds"),
        (
            "loss._target_=torch.nn.BCELoss",
            "loss._target_: a BCELoss cannot be the loss: it is given logits [B, 6]",
        ),
        ("loss._target_=torch.nn.NLLLoss", "loss._target_: a NLLLoss cannot be the loss"),
        ("window.windows=[]", "a stack has at least one window"),
        ("window.windows=[{level: 40, width: 0}]", "width"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(word: str, said: str) -> None:
    assert said in refusal(word)


def test_a_size_that_the_network_does_not_take_is_refused() -> None:
    said = refusal("model=timm", "model.name=vit_tiny_patch16_224", "geometry.size=64", "seed=x")
    assert "geometry.size: size=64: vit_tiny_patch16_224 takes images of 224 x 224 pixels" in said
    assert "give geometry.size=224  [command line]" in said
    assert "seed: 'x' is not a whole number" in said
    assert check("model=timm", "model.name=vit_tiny_patch16_224", "geometry.size=224")


def test_a_loss_of_torch_is_taken_where_it_makes_one_number_of_logits(conf: Path) -> None:
    (conf / "loss" / "mse.yaml").write_text("# squares\n_target_: torch.nn.MSELoss\nreduction: mean\n")
    assert check("loss=mse", conf=conf)
    said = refusal("loss=mse", "loss.reduction=none", conf=conf)
    assert "loss._target_: a MSELoss cannot be the loss" in said
    assert "has to answer one finite number with a gradient" in said


@pytest.mark.parametrize("launcher", ["joblib", "submitit_slurm", "submitit_local"])
def test_a_launcher_that_is_not_installed_says_how_to_install_it(
    launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ich.config.compose.hydra_choices", lambda group, conf: ["basic"])
    said = refusal(f"hydra/launcher={launcher}", multirun=True)
    assert f'hydra/launcher: {launcher} is not installed: pip install "ich[cluster]"; choices without it: basic' in said


def test_paths_that_are_not_there_are_named_with_every_other_mistake(tmp_path: Path) -> None:
    none = tmp_path / "none"
    said = refusal(
        "data=rsna", f"data.root={none}", f"data.folds_csv={none}.csv", f"checkpoint={none}.ckpt", "optimizer.lr=-1"
    )
    assert said.startswith("4 mistakes")
    assert f"data.root: there is no file or folder {none}; give Kaggle's folder, the one above, or its .zip" in said
    assert f"data.folds_csv: there is no file {none}.csv; give a CSV of image_id,patient_id,fold" in said
    assert f"checkpoint: there is no file {none}.ckpt; give one that train.py wrote, or runs:/ID" in said
    assert check("checkpoint=runs:/0123", "data=rsna", f"data.root={tmp_path}")


def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for cache in ("/proc/x", tmp_path / "file" / "cache", tmp_path / "file"):
        assert f"data.cache: no folder can be made at {cache}: " in refusal(f"data.cache={cache}")
    assert check(f"data.cache={tmp_path / 'a' / 'b'}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_predict_reads_and_writes_is_looked_for_at_once(tmp_path: Path) -> None:
    words = [f"checkpoint={tmp_path}/a.ckpt", f"input={tmp_path}/in", "output=/proc/out"]
    with pytest.raises(BadConfig) as caught:
        check_command(words, name="predict", keys=predict.Keys, conf=files.CONF, multirun=False)
    said = str(caught.value)
    assert said.startswith("3 mistakes")
    assert f"checkpoint: there is no file {tmp_path}/a.ckpt" in said
    assert f"input: there is no file or folder {tmp_path}/in; give a DICOM file or a folder of them" in said
    assert "output: no folder can be made at /proc/out" in said


def test_several_mistakes_are_named_at_once() -> None:
    said = refusal("modle=resnet50", "optimizer.lrr=1", "window=brian3", "data.batch_size=many")
    assert said.startswith("4 mistakes in the configuration; nothing was started")
    for key in ("modle", "optimizer.lrr", "window", "data.batch_size"):
        assert f"  {key}: " in said


def test_a_mistake_on_the_command_line_is_placed_there() -> None:
    assert refusal("optimizer.lr=fast").rstrip().endswith("[command line]")


def test_every_value_of_a_sweep_is_checked() -> None:
    assert "'fast' is not a number" in refusal("optimizer.lr=1e-4,fast", multirun=True)
    assert "there is no window 'brian'" in refusal("window=brain,brian", multirun=True)
    assert len(check("optimizer.lr=1e-4,1e-3", "seed=0,1", multirun=True)) == 4


def test_a_key_of_the_signature_may_stand_in_no_file() -> None:
    (job,) = check("optimizer.amsgrad=true")
    assert compose(job).optimizer.amsgrad is True


def test_of_a_key_given_twice_the_last_counts_as_in_hydra() -> None:
    (job,) = check("optimizer.lr=1e-3", "optimizer=adam", "optimizer.lr=1e-2", "optimizer=sgd")
    assert compose(job).optimizer.lr == 1e-2
    assert compose(job).optimizer._target_ == "torch.optim.SGD"


def test_validation_without_a_checkpoint_is_refused() -> None:
    assert "checkpoint: fit=false validates a checkpoint; give checkpoint=runs:/ID" in refusal("fit=false")


def test_what_a_scheduler_itself_refuses_is_a_mistake() -> None:
    assert "scheduler.pct_start" in refusal("scheduler=onecycle", "scheduler.pct_start=2.0")


def test_optimizer_and_scheduler_are_both_refused_at_once() -> None:
    said = refusal("optimizer.lr=-1", "scheduler=onecycle", "scheduler.pct_start=2")
    assert "optimizer.lr: Invalid learning rate" in said
    assert "scheduler.pct_start" in said


def test_a_scheduler_that_the_optimizer_cannot_follow_is_refused(conf: Path) -> None:
    (conf / "optimizer" / "adagrad.yaml").write_text(
        "# Adagrad\n_target_: torch.optim.Adagrad\n_partial_: true\nlr: 0.1\n"
    )
    assert "optimizer must support momentum" in refusal("optimizer=adagrad", "scheduler=onecycle", conf=conf)


# --- experiment files


def experiment(conf: Path, text: str) -> Path:
    (conf / "experiment" / "mine.yaml").write_text(text)
    return conf


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        ("optimizer:\n  lrr: 1\n", 3, "optimizer.lrr: there is no such key; did you mean lr?"),
        ("optimizer:\n  lr: fast\n", 3, "optimizer.lr: 'fast' is not a number"),
        ("optimzer:\n  lr: 1\n", 2, "optimzer: there is no such key or group; did you mean optimizer?"),
        ("defaults:\n  - override /windw: brain\n", 3, "windw: there is no such group; did you mean window?"),
        ("defaults:\n  - override /window: brian\n", 3, "window: there is no window 'brian'; did you mean brain?"),
        ("hydra:\n  run: {dir: /}\n", 2, "an experiment sets nothing of Hydra but launcher and sweeper"),
        (
            "data:\n  repeat:\n    epidurall: 2\n",
            4,
            "data.repeat.epidurall: there is no such key; did you mean epidural?",
        ),
        ("seed: 0\nseed: 1\n", 3, "found duplicate key"),
        ("seed: [1\n", 3, "no YAML"),
    ],
)
def test_a_typo_in_an_experiment_file_is_named_with_its_line(conf: Path, body: str, line: int, said: str) -> None:
    refused = refusal("experiment=mine", conf=experiment(conf, f"# @package _global_\n{body}"))
    assert said in refused
    assert re.search(rf"mine\.yaml:{line}\]", refused)


def test_a_mistake_in_the_defaults_of_an_experiment_hides_no_other(conf: Path) -> None:
    body = (
        "defaults:\n  - override /window: brian\n  - override /optimizer: sgd\n  - override /optimzer: sgd\n"
        "optimizer:\n  nesterow: true\ndata:\n  patients: one\n"
    )
    said = refusal("experiment=mine", "seed=x", "modle=y", conf=experiment(conf, f"# @package _global_\n{body}"))
    assert said.startswith("6 mistakes")
    for what, line in (
        ("window: there is no window 'brian'; did you mean brain?", 3),
        ("optimzer: there is no such group; did you mean optimizer?", 5),
        ("optimizer.nesterow: there is no such key; did you mean nesterov?", 7),
        ("data.patients: 'one' is not a whole number", 9),
    ):
        assert re.search(rf"{re.escape(what)}.*\[{re.escape(str(conf))}/experiment/mine\.yaml:{line}\]", said)
    assert "seed: 'x' is not a whole number  [command line]" in said
    assert "modle: there is no such key or group" in said


def test_one_mistaken_default_alone_is_one_mistake(conf: Path) -> None:
    body = "defaults:\n  - override /window: brian\nseed: 1\n"
    assert refusal("experiment=mine", conf=experiment(conf, f"# @package _global_\n{body}")).startswith("1 mistake ")


def test_an_experiment_file_without_its_first_line_is_refused(conf: Path) -> None:
    said = refusal("experiment=mine", conf=experiment(conf, "optimizer:\n  lr: 1\n"))
    assert "the first line of an experiment file must be # @package _global_" in said


# --- every key of every group


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key of a YAML node, mappings included."""
    for key, value in node.items():
        yield (*path, key), value
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


def rounds() -> list[Any]:
    """A choice of every group at a time, until each has been there."""
    by_group = {group: [*found.values()] for group, found in files.groups(files.CONF).items() if group != "experiment"}
    most = max(map(len, by_group.values()))
    together = [[(group, some[number % len(some)]) for group, some in by_group.items()] for number in range(most)]
    return [pytest.param(choices, id=" ".join(choice.name for _, choice in choices)) for choices in together]


GIVEN = {"rsna": ("data.root=.",), "table": ("data.root=README.md",)}


def words_of(choices: list[tuple[str, files.Choice]], wrong: dict[str, str]) -> list[str]:
    given = (word for _, choice in choices for word in GIVEN.get(choice.name, ()))
    return [
        *(f"{group}={choice.name}" for group, choice in choices),
        *(f"{key}={value}" for key, value in wrong.items()),
        *(word for word in given if word.partition("=")[0] not in wrong),
    ]


@pytest.mark.parametrize("choices", rounds())
def test_every_key_misspelt_is_refused(choices: list[tuple[str, files.Choice]]) -> None:
    misspelt = {
        ".".join((group, *path[:-1], f"{path[-1]}x")): "1"
        for group, choice in choices
        for path, _ in leaves(yaml.safe_load(choice.file.read_text()))
    }
    said = refusal(*words_of(choices, misspelt))
    for key in misspelt:
        assert f"  {key}: " in said


@pytest.mark.parametrize("choices", rounds())
def test_every_key_of_a_wrong_type_is_refused(choices: list[tuple[str, files.Choice]]) -> None:
    """All values at once; of mappings, and of what others hang on, one of each group after the other."""
    wrong: dict[str, str] = {}
    alone: dict[str, list[tuple[str, str]]] = {group: [] for group, _ in choices}
    for group, choice in choices:
        for path, value in leaves(yaml.safe_load(choice.file.read_text())):
            kind = "7" if isinstance(value, dict | list) or path[-1] == "_target_" else "{a: 1}"
            key = ".".join((group, *path))
            if isinstance(value, dict) or path[-1].startswith("_"):
                alone[group].append((key, kind))
            else:
                wrong[key] = kind
    for some in (wrong, *(dict(filter(None, each)) for each in zip_longest(*alone.values()))):
        said = refusal(*words_of(choices, some))
        for key in some:
            assert f"  {key}" in said


# --- what may be built

MALICIOUS = [
    "torch.load", "os.system", "torch.optim.adam.torch.load", "albumentations.os.system", "pandas.read_pickle",
    "pathlib.Path.unlink", "pathlib.Path", "subprocess.Popen", "builtins.eval", "ich.data.source.Path",
    "ich.data.store.shutil.rmtree", "ich.config.launch.sys.exit", "torch.hub.load",
    "torch.nn.modules.module.warnings.warn",
    "ich.report.recorder.uuid.uuid4",
    "hydra.utils.instantiate", "timm.create_model", "ich", "torch.optim", "", "ich.data.store._write",
]  # fmt: skip


@pytest.mark.parametrize("target", MALICIOUS)
def test_a_target_is_judged_by_what_it_is(target: str) -> None:
    groups = ("optimizer", "window", "augment")
    said = refusal(*(f"{group}._target_={target!r}" for group in groups))
    for group in groups:
        assert f"{group}._target_: " in said


@pytest.mark.parametrize("target", MALICIOUS)
def test_no_nested_target_and_no_stored_one_is_built_either(target: str) -> None:
    with pytest.raises(BadConfig, match="_target_"):
        build({"_target_": "ich.data.augment.Augment", "transforms": [{"_target_": target}]})
    with pytest.raises(BadConfig, match="_target_"):
        from_plain({"model": {"_target_": target, "name": "x"}})


# --- one YAML file and no Python


def test_a_new_window_is_one_file(conf: Path) -> None:
    (conf / "window" / "stroke.yaml").write_text(
        "# stroke window: L32 W40\n_target_: ich.ct.windowing.WindowStack\nwindows:\n  - {level: 32, width: 40}\n"
    )
    (job,) = check("window=stroke", conf=conf)
    assert build(compose(job).window).describe().startswith("L32 W40")


def test_a_new_backbone_is_one_file(conf: Path) -> None:
    (conf / "model" / "small.yaml").write_text("# small\n_target_: ich.model.backbone.Backbone\nname: test_resnet\n")
    (job,) = check("model=small", conf=conf)
    assert build(compose(job).model).create(3)


def test_a_new_optimizer_is_one_file(conf: Path) -> None:
    (conf / "optimizer" / "nadam.yaml").write_text(
        "# NAdam\n_target_: torch.optim.NAdam\n_partial_: true\nlr: 1.0e-3\n"
    )
    (job,) = check("optimizer=nadam", conf=conf)
    assert plain(compose(job))["optimizer"]["lr"] == 1e-3
    assert "optimizer.lrr" in refusal("optimizer=nadam", "optimizer.lrr=1", conf=conf)


# --- every choice


@pytest.mark.parametrize("choices", rounds())
def test_every_choice_is_composed_checked_and_built(choices: list[tuple[str, files.Choice]]) -> None:
    import torch

    absent = {"gpu"} if not torch.cuda.is_available() else set()  # the text of that refusal is tested on its own
    kept = [(group, choice) for group, choice in choices if group != "table" and choice.name not in absent]
    (job,) = check(*words_of(kept, {}))
    composed = plain(compose(job))
    for group, _ in kept:
        assert build(composed[group]) is not None


@pytest.mark.parametrize("name", files.groups(files.CONF)["experiment"])
def test_every_experiment_is_composed_checked_and_built(name: str) -> None:
    (job,) = check(f"experiment={name}")
    for node in plain(compose(job)).values():
        if isinstance(node, dict):
            assert build(node) is not None


def test_a_gpu_that_is_not_there_is_refused_in_words() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "this machine has no GPU that torch can use; take trainer=cpu or trainer=auto" in refusal("trainer=gpu")


def test_every_choice_says_what_it_is_in_its_first_line() -> None:
    for choices in files.groups(files.CONF).values():
        for choice in choices.values():
            assert choice.description, choice.file
