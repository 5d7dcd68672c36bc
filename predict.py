"""Predict: python predict.py checkpoint=runs:/ID input=FOLDER output=out"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le
from omegaconf import DictConfig

from ich import config
from ich.config.paths import CHECKPOINT, Existing, Writable


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of conf/predict.yaml."""

    checkpoint: Annotated[str, CHECKPOINT]
    input: Annotated[Path, Existing(kind="file or folder", way_out="give a DICOM file or a folder of them")]
    output: Annotated[Path, Writable()]
    batch_size: Annotated[int, Ge(1)]
    device: Literal["auto", "cpu", "cuda", "mps"]
    explain: bool
    explain_at_least: Annotated[float, Ge(0), Le(1)]
    pseudonymize: bool
    pseudonym_key: Path
    names: Path | None

    def __post_init__(self) -> None:
        if self.names is not None and not self.pseudonymize:
            raise ValueError("names= tells which file each digest is, and pseudonymize=false makes none; leave one out")


def predict(cfg: DictConfig) -> None:
    """Probabilities of every readable slice of `input`, and the reasons for the rest."""
    # Imported here, so that --help needs no torch.
    from ich.data.pseudonym import Pseudonyms
    from ich.predictor import Predictor
    from ich.report.predictions import make_output, predict_folder, write_predictions
    from ich.report.tracking import resolve_checkpoint

    predictor = Predictor.load(resolve_checkpoint(cfg.checkpoint), cfg.device)
    output = Path(cfg.output)
    pseudonyms = Pseudonyms(Path(cfg.pseudonym_key) if cfg.pseudonymize else None)
    explainer = None
    if cfg.explain:
        from ich.report.explain import Explainer

        explainer = Explainer.of(predictor, output, at_least=cfg.explain_at_least)
    make_output(output)
    predictions = predict_folder(
        predictor,
        Path(cfg.input),
        batch_size=cfg.batch_size,
        leave_out=output,
        predicted_batch=explainer.add if explainer else None,
        pseudonyms=pseudonyms,
        names=Path(cfg.names) if cfg.names else None,
    )
    write_predictions(predictions, output)
    print(predictions.summary(), output, sep=": ")
    if pseudonyms.were_given and cfg.names is None:
        print("files are called by digests; names=FILE tells which is which, pseudonymize=false takes their names")
    if explainer:
        print(explainer.finish())


if __name__ == "__main__":
    config.launch(predict, name="predict", keys=Keys)
