"""The questions that a release is measured by, and whose first is the registered model's example."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ml.errors import UserError
from ml.evaluation.benchmarks.index import image_path


def questions(data: Path, images: int) -> list[dict[str, Any]]:
    """RefCOCO val questions with their answers for the first `images` images: {path, texts, boxes xywh}.

    Raises:
        UserError: there are none.
    """
    file = data / "queries" / "refcoco.parquet"
    rows = pq.read_table(file, filters=[("split", "=", "val")]).to_pylist() if file.is_file() else []
    if not rows:
        raise UserError(
            f"{file}: no questions of split val, which the release is measured by; "
            "set benchmarks.refcoco in params.yaml to toytown or to RefCOCO's folder, and run benchmark_data"
        )
    boxes = {row["query_id"]: row["boxes"][0] for row in pq.read_table(data / "truth" / "refcoco.parquet").to_pylist()}
    chosen = sorted({row["image"] for row in rows})[:images]
    asked = {image: [row for row in rows if row["image"] == image] for image in chosen}
    return [
        {
            "path": image_path(data, image),
            "texts": [row["text"] for row in found],
            "boxes": [boxes[row["query_id"]] for row in found],
        }
        for image, found in asked.items()
    ]
