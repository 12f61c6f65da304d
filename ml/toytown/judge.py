"""How true toytown's pseudo-labels are; the labels themselves never see this."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.labeling.scoring import score_labels
from ml.masks import Masks
from ml.params import Params
from ml.toytown.files.truth import truth_of_image
from ml.toytown.world.language import caption
from ml.workspace import Workspace
from ml.workspace.report import Report


def judge(ws: Workspace, params: Params, images: int, shard: str) -> Report:
    """Score the first `images` of a shard's pseudo-labels against the drawn scenes (`score_labels`)."""
    labels = ws.shard_file("pseudo_labels", shard, ".parquet")

    def truth(image_id: int, masks: Masks, texts: list[str]) -> tuple[NDArray[np.float64], list[str]]:
        known = truth_of_image(image_id, params)
        scene = known.drawing.scene
        captions = [caption(scene, scene.nodes[node]) if node >= 0 else "" for node in known.nodes(masks)]
        relevance = [known.relevance(text, masks) for text in texts]
        return np.reshape(relevance, (len(texts), len(masks))), captions

    with TemporaryDirectory() as folder:
        sample = Path(folder) / labels.name
        pq.write_table(pq.read_table(labels).slice(0, images), sample)
        return score_labels(sample, truth)
