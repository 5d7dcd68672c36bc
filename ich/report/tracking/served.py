"""What MLflow runs where a logged model is loaded: a table with one column `dicom` to six probabilities a row.

A body that is no CT slice is the caller's mistake: MLflow answers 400 with the reason's word of `ich.ct.dicom`.
"""

import ich  # isort: skip  # noqa: F401  (first: its torchvision hook must stand before torchvision)

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext

from ich.ct.dicom import BadSlice
from ich.findings import FINDINGS
from ich.predictor import Predictor

BATCH = 32


class ServedModel(PythonModel):
    """The predictor of a run's best checkpoint; with neighbours, the rows of a series are seen together."""

    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = Predictor.load(Path(context.artifacts["checkpoint"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        files = [bytes(content) for content in model_input["dicom"]]
        stacks: dict[int, np.ndarray] = {}
        for together in self.predictor.together(files):
            for row, read in zip(together, self.predictor.read([files[row] for row in together]), strict=True):
                if isinstance(read, BadSlice):
                    raise MlflowException(f"row {row}: {read.reason}: {read.detail}", error_code=BAD_REQUEST)
                stacks[row] = read.hu
        inputs = [stacks[row] for row in range(len(files))]
        answers = [self.predictor.predict(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
        parts = [answer.probabilities for answer in answers]
        return pd.DataFrame(np.concatenate([np.zeros((0, len(FINDINGS))), *parts]), columns=list(FINDINGS))


set_model(ServedModel())
