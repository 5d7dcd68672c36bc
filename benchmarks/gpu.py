"""python -m benchmarks.gpu [json=FILE] [device=cuda] [models=resnet50,efficientnet_b2] [batch=256] [size=256]
[steps=30] [repeats=5] [patients=30]
"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.cohort import Slices, prepare_slices
from ich.config.files import PROJECT
from ich.ct.windowing import Window, WindowStack
from ich.data.augment import Augment
from ich.data.batches import Batch, BatchReader, ReadAhead, TrainBatches
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Single

DEFAULTS = {
    "json": "", "device": "cuda", "models": "resnet50,efficientnet_b2", "batch": "256", "size": "256", "steps": "30",
    "repeats": "5", "patients": "30",
}  # fmt: skip
WINDOWS = ((40, 80), (80, 200), (600, 2800))
Step = Callable[[Batch], None]


def main(words: Sequence[str]) -> int:
    settings = DEFAULTS | dict(word.partition("=")[::2] for word in words)
    if unknown := settings.keys() - DEFAULTS.keys():
        print(f"unknown: {', '.join(sorted(unknown))}; {__doc__}", file=sys.stderr)
        return 2
    device = torch.device(settings["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no GPU that torch can use, so nothing is measured; device=cpu tries the code.")
        return 0
    cv2.setNumThreads(1)
    torch.backends.cudnn.benchmark = True
    steps, repeats = int(settings["steps"]), int(settings["repeats"])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cohort = {"patients": int(settings["patients"]), "size": int(settings["size"])}
        slices = prepare_slices(PROJECT / "cache", Path(folder), **cohort)
        for name in settings["models"].split(","):
            batch, fed, kept = measure(name, slices, device, batch=int(settings["batch"]), steps=steps, repeats=repeats)
            ratio = statistics.median(ours / still for ours, still in zip(fed, kept, strict=True))
            rate, limit = statistics.median(fed), statistics.median(kept)
            print(f"{name}: {rate:,.0f} images/s from the store, {limit:,.0f} from one batch on {device}: {ratio:.3f}")
            rows.append({"work": "gpu", "name": name, "batch": batch, "rate": rate, "ratio": ratio})
    if settings["json"]:
        Path(settings["json"]).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def measure(
    name: str, slices: Slices, device: torch.device, *, batch: int, steps: int, repeats: int
) -> tuple[int, list[float], list[float]]:
    """The batch size that fits, and images a second of each repetition: fed from the store, and from one batch."""
    while True:
        try:
            return batch, *_measure(name, slices, device, batch, steps, repeats)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        batch //= 2
        torch.cuda.empty_cache()


def _measure(
    name: str, slices: Slices, device: torch.device, batch: int, steps: int, repeats: int
) -> tuple[list[float], list[float]]:
    step, feed = _trainer(name, device), _loader(slices, batch, steps)
    still = _on(next(iter(feed)), device)
    fed, kept = [], []
    for repeat in range(repeats + 1):
        feed.sampler.set_epoch(repeat)  # type: ignore[union-attr]
        fed.append(_rate(step, (_on(one, device) for one in feed), device))
        kept.append(_rate(step, [still] * steps, device))
    return fed[1:], kept[1:]  # the first warms up


def _trainer(name: str, device: torch.device) -> Step:
    """One step of a training as `trainer=gpu` does it: bf16, channels last, windows on the device, Adam."""
    windows = WindowStack(windows=[Window(level=level, width=width) for level, width in WINDOWS])
    classifier = HemorrhageClassifier(backbone=Backbone(name=name), window=windows, context=Single()).to(device)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-4)

    def step(batch: Batch) -> None:
        with torch.autocast(device.type, torch.bfloat16):
            logits = classifier(batch.hu)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _loader(slices: Slices, batch: int, steps: int) -> ReadAhead:
    """As HeadCT feeds a training; the rows repeat, so that an epoch is long enough to be timed."""
    rows = np.resize(np.arange(len(slices.files)), batch * steps)
    reader = BatchReader(slices.data.store, slices.labels, Augment(flip=0.5), 0, pin=torch.cuda.is_available())
    return ReadAhead(reader, TrainBatches(rows, batch, 0, 0, 1))


def _on(batch: Batch, device: torch.device) -> Batch:
    """int16 to the device while it still works on the batch before, as Lightning does."""
    return Batch(*(part.to(device, non_blocking=True) for part in batch))


def _rate(step: Step, batches: Iterable[Batch], device: torch.device) -> float:
    start, done = time.perf_counter(), 0
    for batch in batches:
        step(batch)
        done += len(batch.rows)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
