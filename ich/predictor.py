"""A checkpoint as a function of DICOM: what predict.py calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int16

from ich import metric
from ich.config import check, signature
from ich.ct.dicom import read_slice
from ich.ct.geometry import FullGeometry, HeadGeometry
from ich.errors import InputError
from ich.model.classifier import HemorrhageClassifier


class BadCheckpoint(InputError):
    """A file that is no checkpoint of ich, or not of this version."""


class NoDevice(InputError):
    """A device that this machine does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A classifier in evaluation mode with the geometry it was trained on."""

    classifier: HemorrhageClassifier
    geometry: HeadGeometry | FullGeometry
    device: torch.device

    @classmethod
    def load(cls, checkpoint: Path, device: Literal["auto", "cpu", "cuda", "mps"] = "auto") -> "Predictor":
        """From a checkpoint; its stored settings pass the same check as a command line before anything is built."""
        state = load_checkpoint(checkpoint)
        settings = check.from_plain(state["settings"])
        classifier = HemorrhageClassifier(
            backbone=signature.build(settings["model"]),
            window=signature.build(settings["window"]),
            context=signature.build(settings["context"]),
        )
        load_weights(classifier, state, checkpoint)
        where = _find_device(device)
        return cls(classifier=classifier.eval().to(where), geometry=signature.build(settings["geometry"]), device=where)

    def read(self, source: Path | bytes) -> tuple[str, Int16[np.ndarray, "size size"]]:
        """One DICOM file: its image id, and its HU prepared for the network. Raises BadSlice."""
        one = read_slice(source, spacing_required=self.geometry.spacing_required)
        return one.header.image_id, self.geometry.prepare(one.hu, one.header.spacing_mm).hu

    def predict(self, prepared: Sequence[Int16[np.ndarray, "size size"]]) -> Float64[np.ndarray, "n 6"]:
        """The six probabilities of each prepared slice, in the order of FINDINGS."""
        hu = torch.from_numpy(np.stack(prepared))[:, None].to(self.device)
        with torch.inference_mode():
            logits = self.classifier(hu)
        return metric.probabilities(logits.double().cpu().numpy())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The plain content of a checkpoint file; never runs code that the file may carry (`weights_only`)."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadCheckpoint(f"{path}: no checkpoint that train.py wrote, or a damaged one") from error
    if not isinstance(state, dict) or not {"state_dict", "settings"} <= state.keys():
        raise BadCheckpoint(f"{path}: not a checkpoint of ich: it has no settings; give one that train.py wrote")
    return state


def load_weights(classifier: HemorrhageClassifier, state: dict[str, Any], path: Path) -> None:
    """Put a checkpoint's weights into a classifier of the same shape."""
    prefix = "classifier."
    weights = {
        name.removeprefix(prefix): value for name, value in state["state_dict"].items() if name.startswith(prefix)
    }
    fixed = {name: value for name, value in classifier.named_buffers() if name.startswith("window.")}
    others = [name for name, value in fixed.items() if not torch.equal(weights.get(name, value).cpu(), value.cpu())]
    try:
        if others:  # loading would replace them in silence
            raise RuntimeError(f"other {', '.join(others)}")
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        named = state["settings"].get("model", {}).get("name", "unknown")
        raise BadCheckpoint(
            f"{path}: its weights (of {named}) are of another model, window or context than this configuration; "
            "config.yaml of its run says which"
        ) from error


def _find_device(asked: str) -> torch.device:
    """The device asked for, or the best one; raises NoDevice."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return torch.device(next(name for name, is_here in here.items() if is_here))
    if not here[asked]:
        raise NoDevice(f"device={asked}: this machine has none that torch can use; take device=auto or device=cpu")
    return torch.device(asked)
