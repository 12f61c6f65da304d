"""A labelled shard as it is read for others: its rows, a group at a time, the masks of a row, and its JPEG."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError
from ml.masks import Masks
from ml.sa1b.reading.reader import read_jpeg
from ml.workspace import Workspace

ROWS = 64  # images in memory at a time, as many as a row group of the labels has
PLACE = ["file_name", "jpeg_offset", "jpeg_bytes"]
SHAPES = ["width", "height", "mask_ids", "counts", "levels", "parents", "predicted_ious", "stability_scores", "phrases"]


class Labelled(NamedTuple):
    """The files of one shard."""

    labels: Path
    tar: Path

    @classmethod
    def of(cls, ws: Workspace, shard: str) -> "Labelled":
        """A shard of the workspace.

        Raises:
            UserError: it is not labelled yet, or its tar is gone.
        """
        found = cls(ws.shard_file("pseudo_labels", shard, ".parquet"), ws.shard_file("sa1b_shards", shard, ".tar"))
        if lacking := next((path for path in found if not path.is_file()), None):
            raise UserError(f"{lacking}: missing; run arrcoc run --select +pseudo_labels first")
        return found

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The images in order, as far as these columns of `pseudo_labels` tell of them.

        Raises:
            UserError: the labels are not readable.
        """
        try:
            with pq.ParquetFile(self.labels) as file:
                for batch in file.iter_batches(ROWS, columns=list(columns), use_threads=False):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{self.labels}: not readable as Parquet ({error}); run pseudo_labels again") from error

    def jpeg(self, row: dict[str, Any]) -> bytes:
        """The image of a row with the columns `PLACE`, its bytes as they lie in the tar.

        Raises:
            UserError: the tar is gone or cut.
        """
        return read_jpeg(self.tar, row["jpeg_offset"], row["jpeg_bytes"])


def masks(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The masks of a row with the columns `SHAPES`; box xywh in COCO's convention, `parent` an index, -1 for none."""
    runs = Masks.parse(row["counts"], (row["height"], row["width"]))
    boxes, areas = runs.coco_boxes().tolist(), runs.areas().tolist()
    return [
        {
            "mask_id": row["mask_ids"][i],
            "segmentation": {"size": [row["height"], row["width"]], "counts": row["counts"][i]},
            "bbox": boxes[i],
            "area": areas[i],
            "level": row["levels"][i],
            "parent": row["parents"][i],
            "predicted_iou": round(row["predicted_ious"][i], 4),
            "stability_score": round(row["stability_scores"][i], 4),
            "phrase": row["phrases"][i],
        }
        for i in range(len(areas))
    ]
