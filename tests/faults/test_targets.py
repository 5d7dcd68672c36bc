"""Fifty `_target_`s of strangers, on a command line, in files of conf/ and in a checkpoint: none is called."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ich.config import files
from ich.config.check import check_command, from_plain
from ich.config.mistakes import BadConfig
from tests.faults.alarm import silence
from train import Keys

NAMED = """
os.system os.popen os.remove os.execv os._exit posix.system subprocess.run subprocess.Popen subprocess.check_output
builtins.eval builtins.exec builtins.__import__ builtins.open __main__.__builtins__.eval importlib.import_module
runpy.run_path runpy.run_module pathlib.Path pathlib.Path.unlink pathlib.Path.write_text shutil.rmtree shutil.move
pickle.load pickle.loads marshal.loads shelve.open pandas.read_pickle numpy.load joblib.load yaml.unsafe_load
torch.load torch.hub.load torch.hub.load_state_dict_from_url torch.serialization.load torch.optim.adam.torch.load
torch.nn.modules.module.torch.load torch.optim.sgd.torch.hub.load torch.utils.cpp_extension.load
torch.package.PackageImporter torch.jit.load torch.compile torch.utils.model_zoo.load_url torch.distributed.run.main
torch.multiprocessing.spawn albumentations.os.system albumentations.load albumentations.from_dict
albumentations.core.serialization.load timm.create_model timm.models.load_checkpoint timm.models._hub.torch.load
hydra.utils.instantiate hydra.utils.call hydra._internal.utils._locate logging.config.dictConfig
ich.data.source.shutil.rmtree ich.report.tracking.run.subprocess.run ich.trainer.subprocess.Popen
ich.config.launch.launch ich.config.signature.build ich.predictor.load_checkpoint ich.data.store.writing.whole
"""
TARGETS = NAMED.split()
"""Of what runs code, opens, deletes or fetches: by its own name, and by the names of modules that hold it."""
EACH = [pytest.param(one, marks=() if number % 6 == 0 else pytest.mark.slow) for number, one in enumerate(TARGETS)]
"""Every sixth in the fast suite."""
GIVEN = {
    "args": ["touch sprung"],
    "command": "touch sprung",
    "path": "sprung",
    "_args_": ["touch sprung"],
    "f": "sprung",
}


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of conf/, in a folder that is the working directory, too."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(files.CONF, tmp_path / "conf"))


def refusal(conf: Path, *words: str, multirun: bool = False) -> str:
    with silence(), pytest.raises(BadConfig) as caught:
        check_command(words, name="train", keys=Keys, conf=conf, multirun=multirun)
    assert not (conf.parent / "sprung").exists()
    return str(caught.value)


def test_there_are_fifty() -> None:
    assert len(set(TARGETS)) >= 50


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported() -> None:
    import ich.report.recorder  # noqa: F401  (an import of ours is no harm, and its libraries' need not be heard)

    check_command(["experiment=demo"], name="train", keys=Keys, conf=files.CONF, multirun=False)


@pytest.mark.parametrize("target", EACH)
def test_none_runs_from_a_command_line(target: str, conf: Path) -> None:
    transform = f"augment.transforms=[{{_target_: {target}, p: 1}}]"
    said = refusal(conf, f"optimizer._target_={target}", f"loss._target_={target}", transform)
    for key in ("optimizer._target_", "loss._target_", "augment.transforms.0._target_"):
        assert f"{key}: " in said


@pytest.mark.parametrize("target", EACH)
def test_none_runs_from_an_experiment_or_a_choice(target: str, conf: Path) -> None:
    node = {"_target_": target, **GIVEN}
    evil = conf / "experiment" / "evil.yaml"
    evil.write_text(f"# @package _global_\n{yaml.safe_dump({'loss': node, 'augment': {'transforms': [node]}})}")
    (conf / "scheduler" / "evil.yaml").write_text(yaml.safe_dump(node))
    said = refusal(conf, "experiment=evil", "scheduler=evil")
    for key in ("loss._target_", "augment.transforms.0._target_", "scheduler._target_"):
        assert f"{key}: " in said


@pytest.mark.parametrize("target", EACH)
def test_none_runs_from_a_checkpoints_own_configuration(target: str, conf: Path) -> None:
    node = {"_target_": target, **GIVEN}
    geometry = {"_target_": "ich.ct.geometry.HeadGeometry", "size": node}
    window = {"_target_": "ich.ct.windowing.WindowStack", "windows": [node]}
    for settings in (
        {"model": node, "window": node, "context": node, "geometry": node},
        {"window": window, "geometry": geometry},
    ):
        with silence(), pytest.raises(BadConfig) as caught:
            from_plain(settings)
        assert "_target_" in str(caught.value)
    assert not (conf.parent / "sprung").exists()


EVIL = {"callbacks": {"evil": {"_target_": "pathlib.Path.touch", "self": "sprung"}}}
LOGGING = {"job_logging": {"handlers": {"file": {"class": "pathlib.Path", "filename": "sprung"}}}}


@pytest.mark.parametrize(
    "hydra", [EVIL, LOGGING, {"job": {"env_set": {"LD_PRELOAD": "evil.so"}}}, {"searchpath": ["file:///tmp"]}]
)
def test_hydra_builds_nothing_that_a_file_asks_for(hydra: dict[str, Any], conf: Path) -> None:
    body = yaml.safe_dump({"hydra": hydra})
    (conf / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{body}")
    assert "nothing of Hydra" in refusal(conf, "experiment=evil")
    # A choice of another group, which a first line sends to the top; a file that an experiment includes; and
    # a first line that sends a choice into Hydra's own configuration.
    (conf / "optimizer" / "evil.yaml").write_text(f"# @package _global_\n_target_: torch.optim.Adam\n{body}")
    assert "evil: it sets everything, and a file of optimizer sets optimizer alone" in refusal(conf, "optimizer=evil")
    (conf / "experiment" / "kind.yaml").write_text("# @package _global_\ndefaults:\n  - evil\n  - _self_\n")
    assert "nothing of Hydra" in refusal(conf, "experiment=kind")
    (conf / "loss" / "evil.yaml").write_text(f"# @package hydra\n{yaml.safe_dump(hydra)}")
    assert "evil: it sets hydra, and a file of loss sets loss alone" in refusal(conf, "loss=evil")


@pytest.mark.parametrize(
    "word",
    [
        "hydra.launcher._target_=os.system",
        "hydra.callbacks.evil._target_=os.system",
        "hydra.job_logging.handlers.file.class=os.system",
        "hydra.searchpath=[file:///tmp]",
        "hydra.job.env_set={LD_PRELOAD: evil.so}",
        "--config-dir=/tmp/evil",
        "--config-path=/tmp/evil",
    ],
)
def test_hydra_builds_nothing_that_a_command_line_asks_for(word: str, conf: Path) -> None:
    assert word.partition("=")[0] in refusal(conf, word, "seed=1,2", multirun=True)


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ("window", "torch.nn.Linear"),
        ("model", "ich.trainer.TrainerSettings"),
        ("geometry", "ich.model.backbone.Backbone"),
        ("data", "ich.config.launch.Door"),
        ("context", "torch.nn.Bilinear"),
    ],
)
def test_a_group_is_of_its_kind_before_anything_is_built(group: str, target: str, conf: Path) -> None:
    huge = [f"{group}.{name}={10**6}" for name in ("in_features", "out_features", "in1_features", "in2_features")]
    assert f"{group}._target_: a {target.rpartition('.')[2]} is no " in refusal(
        conf, f"{group}._target_={target}", *huge
    )
    with pytest.raises(BadConfig, match="is no"):
        from_plain({group: {"_target_": target}} if group != "data" else {"model": {"_target_": target}})


def test_a_file_that_would_never_end_is_refused(conf: Path) -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (bomb, "loss: &loss {a: *loss}\n", "loss: " + "[" * 5000 + "]" * 5000 + "\n"):
        (conf / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{text}")
        assert "values, or itself" in refusal(conf, "experiment=evil")
        (conf / "loss" / "evil.yaml").write_text(text)
        assert "values, or itself" in refusal(conf, "loss=evil")
