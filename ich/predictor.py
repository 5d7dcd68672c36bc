"""A checkpoint as a function of DICOM: what predict.py calls."""

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int16

from ich import metric
from ich.config import check, signature
from ich.config.mistakes import BadConfig
from ich.ct.dicom import BadSlice, Slice, read_header, read_slice
from ich.ct.geometry import Geometry, Warp
from ich.data.cohort import neighbour_rows
from ich.data.headers import position_mm
from ich.data.threads import in_order
from ich.errors import InputError
from ich.model.classifier import HemorrhageClassifier

HEADERS_AHEAD = 1024
"""Headers that threads may be ahead."""


class BadCheckpoint(InputError):
    """A file that is no checkpoint of ich, or not of this version."""


class NoDevice(InputError):
    """A device that this machine does not have."""


class NoMemory(InputError):
    """A device without memory for a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One slice as the network gets it: HU int16 [D, S, S], itself in the middle of its neighbours.

    `source` is the file that its own pixels are from, `warp` how they came from there.
    """

    image_id: str
    hu: Int16[np.ndarray, "depth size size"]
    source: Path | bytes
    warp: Warp


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A classifier in evaluation mode with the geometry it was trained on, and how many slices it sees together."""

    classifier: HemorrhageClassifier
    geometry: Geometry
    depth: int
    device: torch.device

    @classmethod
    def load(cls, checkpoint: Path, device: Literal["auto", "cpu", "cuda", "mps"] = "auto") -> "Predictor":
        """From a checkpoint; its stored settings pass the same check as a command line before anything is built."""
        state = load_checkpoint(checkpoint)
        settings = _check_settings(state, checkpoint)
        context, backbone = signature.build(settings["context"]), signature.build(settings["model"])
        with torch.device("meta"):  # shapes alone: a file of a kilobyte may name a network of 18 GB
            shapes = HemorrhageClassifier(
                backbone=backbone, window=signature.build(settings["window"]), context=context
            ).state_dict()
        _check_shapes({name: value.shape for name, value in shapes.items()}, state, checkpoint)
        classifier = HemorrhageClassifier(
            backbone=backbone, window=signature.build(settings["window"]), context=context
        )
        load_weights(classifier, state, checkpoint)
        where = _find_device(device)
        geometry = context.geometry(signature.build(settings["geometry"]))
        return cls(classifier=classifier.eval().to(where), geometry=geometry, depth=context.depth, device=where)

    def together(self, sources: Sequence[Path | bytes]) -> list[list[int]]:
        """Which of these files are to be read at once: each alone, or with depth > 1 those of a series."""
        if self.depth == 1:
            return [[place] for place in range(len(sources))]
        series: dict[object, list[int]] = {}
        for place, key in enumerate(in_order(_series, sources, ahead=HEADERS_AHEAD)):
            series.setdefault(key if key is not None else place, []).append(place)
        return [*series.values()]

    def read(self, sources: Sequence[Path | bytes]) -> list[Read | BadSlice]:
        """DICOM files that are seen together, each read or refused: one, or with depth > 1 all of one series.

        A series may come in any order; files of the same image are one slice of it.
        """
        read = [self._read(source) for source in sources]
        named = [
            (one.header.image_id, one, source)
            for one, source in zip(read, sources, strict=True)
            if isinstance(one, Slice)
        ]
        distinct = {image: one for image, one, _ in reversed(named)}
        files = {image: source for image, _, source in reversed(named)}
        places = {image: position_mm(one.header) for image, one in distinct.items()}
        series = sorted(distinct, key=lambda image: (np.isnan(places[image]), np.nan_to_num(places[image]), image))
        positions = [places[image] for image in series]
        slices = [distinct[image] for image in series]
        prepared = self.geometry.prepare_series(
            [one.hu for one in slices], [one.header.spacing_mm for one in slices], positions
        )
        table = pd.DataFrame([asdict(one.header) for one in slices], columns=["patient_id", "study_id", "series_id"])
        seen = neighbour_rows(table.assign(position_mm=positions), self.depth)
        ready = {
            image: Read(
                image_id=image, hu=np.stack([prepared[row].hu for row in rows]), source=files[image], warp=own.warp
            )
            for image, own, rows in zip(series, prepared, seen, strict=True)
        }
        return [ready[one.header.image_id] if isinstance(one, Slice) else one for one in read]

    def _read(self, source: Path | bytes) -> Slice | BadSlice:
        try:
            return read_slice(source, spacing_required=self.geometry.spacing_required)
        except BadSlice as bad:
            return bad

    def predict(self, stacks: Sequence[Int16[np.ndarray, "depth size size"]]) -> Float64[np.ndarray, "n 6"]:
        """The six probabilities of each slice that was read, in the order of FINDINGS."""
        try:
            hu = torch.from_numpy(np.stack(stacks)).to(self.device)
            with torch.inference_mode():
                logits = self.classifier(hu)
        except torch.OutOfMemoryError as error:
            first = str(error).partition(". ")[0]
            raise NoMemory(f"{first}: {len(stacks)} slices at once are too many; lower batch_size") from error
        return metric.probabilities(logits.double().cpu().numpy())


def _series(source: Path | bytes) -> object:
    """What files of one series have in common; None of a file that cannot be read."""
    try:
        header = read_header(source, spacing_required=False)
    except BadSlice:
        return None
    return header.patient_id, header.study_id, header.series_id


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The plain content of a checkpoint file; never runs code that the file may carry (`weights_only`)."""
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's of a damaged file, which is refused anyway
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise anything, and nothing of it has been run
        raise BadCheckpoint(f"{path}: no checkpoint that train.py wrote, or a damaged one") from error
    if not isinstance(state, dict) or not all(isinstance(state.get(name), dict) for name in ("state_dict", "settings")):
        raise BadCheckpoint(f"{path}: not a checkpoint of ich: it has no settings; give one that train.py wrote")
    if not all(isinstance(key, str) and isinstance(one, torch.Tensor) for key, one in state["state_dict"].items()):
        raise BadCheckpoint(f"{path}: a weight in it is no tensor with a name; give one that train.py wrote")
    return state


def _check_archive(path: Path) -> None:
    """A .zip whose members are stored as they are, as torch writes it: what is packed may inflate to anything.

    The format before it, a bare pickle, lets a kilobyte ask for storages of any size.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            sound = all(one.compress_type == zipfile.ZIP_STORED for one in members)
            if any(one.external_attr or one.volume or one.is_dir() for one in members):
                raise zipfile.BadZipFile("a member is no file")  # torch takes what is left in memory for its weights
            sound = sound and sum(one.file_size for one in members) <= size
            if sound and archive.testzip():  # torch reads a flipped bit as another weight
                raise zipfile.BadZipFile("a checksum is another one")
    except OSError as error:
        raise BadCheckpoint(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a damaged archive makes zipfile raise
        raise BadCheckpoint(f"{path}: no checkpoint that train.py wrote, or a damaged one") from error
    if not sound:
        raise BadCheckpoint(f"{path}: it claims to hold more than its {size:,} bytes; give one that train.py wrote")


def _check_settings(state: dict[str, Any], path: Path) -> dict[str, Any]:
    try:
        return check.from_plain(state["settings"])
    except BadConfig as error:
        raise BadCheckpoint(f"{path}: its own configuration is refused: {error}") from error


def _weights(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Those of the classifier, by its own names."""
    prefix = "classifier."
    return {name.removeprefix(prefix): one for name, one in state["state_dict"].items() if name.startswith(prefix)}


def _check_shapes(shapes: dict[str, torch.Size], state: dict[str, Any], path: Path) -> None:
    held = {name: value.shape for name, value in _weights(state).items()}
    if held != shapes:
        raise _of_another(path, state)


def load_weights(classifier: HemorrhageClassifier, state: dict[str, Any], path: Path) -> None:
    """Put a checkpoint's weights into a classifier of the same shape."""
    weights = _weights(state)
    fixed = {name: value for name, value in classifier.named_buffers() if name.startswith("window.")}
    try:
        others = [name for name, one in fixed.items() if not torch.equal(weights.get(name, one).cpu(), one.cpu())]
        if others:  # loading would replace them in silence
            raise RuntimeError(f"other {', '.join(others)}")
        classifier.load_state_dict(weights)
    except (RuntimeError, NotImplementedError) as error:  # the second of tensors that are sparse, or have no data
        raise _of_another(path, state) from error


def _of_another(path: Path, state: dict[str, Any]) -> BadCheckpoint:
    model = state["settings"].get("model")
    named = model.get("name", "unknown") if isinstance(model, dict) else "unknown"
    return BadCheckpoint(
        f"{path}: its weights (of {named}) are of another model, window or context than this configuration; "
        "config.yaml of its run says which"
    )


def _find_device(asked: str) -> torch.device:
    """The device asked for, or the best one; raises NoDevice."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return torch.device(next(name for name, is_here in here.items() if is_here))
    if not here[asked]:
        raise NoDevice(f"device={asked}: this machine has none that torch can use; take device=auto or device=cpu")
    return torch.device(asked)
