"""The MLflow model: images and queries in, boxes and ranked masks out. Loaded by MLflow as code, never unpickled."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from ml.release.package import answer, load_package
from ml.release.predict import decode_image, read_image


class RelevanceModel(PythonModel):
    """`predict` takes columns image (a path, or base64 of a JPEG or PNG) and query."""

    def load_context(self, context: Any) -> None:
        """Load the package that `context.artifacts` names; MLflow calls it before the first `predict`.

        Raises:
            UserError: there is no package, or it is broken.
        """
        self.package = load_package(Path(context.artifacts["package"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row for each: box (JSON, xywh in pixels), score in [0, 1], present (bool), masks (JSON, best first)."""
        rows = zip(model_input["image"], model_input["query"], strict=True)
        found = [answer(self.package, _pixels(image), query) for image, query in rows]
        columns = {"box": [json.dumps(row["box"]) for row in found], "score": [float(row["score"]) for row in found]}
        columns["present"] = [bool(row["present"]) for row in found]
        return pd.DataFrame({**columns, "masks": [json.dumps(row["masks"]) for row in found]})


def _pixels(image: str) -> np.ndarray:
    return read_image(Path(image)) if Path(image[:255]).is_file() else decode_image(base64.b64decode(image))


set_model(RelevanceModel())
