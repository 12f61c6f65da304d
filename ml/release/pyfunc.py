"""The MLflow model: images and queries in, boxes and ranked masks out. Loaded by MLflow as code, never unpickled."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

from ml.errors import UserError
from ml.release.runtime.pictures import decode_image
from ml.release.runtime.predictor import Predictor, found


class RelevanceModel(PythonModel):
    """`predict` takes columns image (base64 of a JPEG or PNG) and query; no file is opened that a caller names."""

    def load_context(self, context: Any) -> None:
        """Load the package that `context.artifacts` names, and answer once; MLflow calls it before `predict`.

        Raises:
            UserError: there is no package, or it is broken.
        """
        self.predictor = Predictor(Path(context.artifacts["package"]))
        self._answer(np.zeros((64, 64, 3), np.uint8), "a thing")  # the first answer is the slowest

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row for each: box (JSON, xywh in pixels), score in [0, 1], present (bool), masks (JSON, best first).

        Raises:
            MlflowException: an image is not base64 of a JPEG or PNG, or a query is empty; MLflow answers it with 400.
        """
        rows = enumerate(zip(model_input["image"], model_input["query"], strict=True))
        told = [self._answer(_pixels(row, image), _query(row, query)) for row, (image, query) in rows]
        columns = {"box": [json.dumps(row["box"]) for row in told], "score": [float(row["score"]) for row in told]}
        columns["present"] = [bool(row["present"]) for row in told]
        return pd.DataFrame({**columns, "masks": [json.dumps(row["masks"]) for row in told]})

    def _answer(self, pixels: np.ndarray, query: str) -> dict[str, Any]:
        return found(*self.predictor.predict(pixels, [query]), [query], 0)


def _pixels(row: int, image: str) -> np.ndarray:
    try:
        return decode_image(base64.b64decode(image, validate=True))
    except (binascii.Error, UserError) as error:
        raise _refused(f"row {row}, image: not base64 of a JPEG or PNG ({error})") from None


def _query(row: int, query: str) -> str:
    if not query.strip():
        raise _refused(f"row {row}, query: empty; say what to look for")
    return query.strip()


def _refused(reason: str) -> MlflowException:
    return MlflowException(reason, error_code=INVALID_PARAMETER_VALUE)


set_model(RelevanceModel())
