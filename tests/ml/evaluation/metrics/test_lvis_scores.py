"""Of a file of detections those are read that count: the best of each image or category, where it is annotated."""

from pathlib import Path

import numpy as np
import pytest

from ml.evaluation.metrics import lvis_scores
from ml.evaluation.metrics.average_precision import annotated_images, best_of, lvis_dataset
from ml.evaluation.metrics.lvis_scores import best_of_each, counted
from ml.evaluation.predictions.files import Row, as_tables, prediction_files

IMAGES, CATEGORIES = 12, 9
SIZES = {f"lvis/{n:02d}.jpg": (40, 50) for n in range(IMAGES)}


@pytest.fixture
def rows() -> list[Row]:
    """Every category in every image, up to four boxes each, with scores that tie; one image has none."""
    rng = np.random.default_rng(0)
    found = []
    for image in [*SIZES][1:]:
        for category in rng.permutation(np.arange(1, CATEGORIES + 1)):
            count = int(rng.integers(0, 5))
            boxes = rng.integers(1, 20, (count, 4)).astype(float).tolist()
            scores = sorted(rng.integers(0, 9, count) / 8, reverse=True)
            key = {"query_id": f"{category}@{image.partition('/')[2]}", "image": image}
            found.append(key | {"boxes": boxes, "counts": [], "scores": scores})
    return found


@pytest.fixture
def truth() -> list[Row]:
    rng = np.random.default_rng(1)
    shared = {"exhaustive": True, "counts": [""], "areas": [100.0]}
    pairs = [(image, category) for image in SIZES for category in range(1, CATEGORIES + 1) if rng.random() < 0.4]
    boxes = [rng.integers(1, 20, (1, 4)).astype(float).tolist() for _ in pairs]
    return [{"image": i, "category_id": c, "boxes": box} | shared for (i, c), box in zip(pairs, boxes, strict=True)]


def test_those_that_count_are_those_of_all_detections(
    rows: list[Row], truth: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lvis_scores, "PER_IMAGE", 7)
    monkeypatch.setattr(lvis_scores, "PER_CATEGORY", 12)
    dataset = lvis_dataset(SIZES, dict.fromkeys(range(1, CATEGORIES + 1), "f"), truth)
    with prediction_files(tmp_path) as append:
        append(as_tables({"lvis": rows}))
    found = counted(dataset, tmp_path / "lvis.parquet", SIZES)
    ids = {image: number for number, image in enumerate(sorted(SIZES), 1)}
    everything = [
        {"image_id": ids[row["image"]], "category_id": int(row["query_id"].partition("@")[0]), "bbox": box}
        | {"segmentation": {"size": [40, 50], "counts": ""}, "score": score}
        for row in sorted(rows, key=lambda row: (int(row["query_id"].partition("@")[0]), row["image"]))
        for box, score in zip(row["boxes"], row["scores"], strict=True)
    ]
    annotated = annotated_images(dataset)
    for ours, (key, most) in zip(found, (("image_id", 7), ("category_id", 12)), strict=True):
        wanted = [d for d in best_of(everything, key, most) if d["image_id"] in annotated[d["category_id"]]]
        order = [d for d in everything if any(d is w for w in wanted)]
        assert ours == order and len(ours) > 20


def test_of_equals_the_first_is_kept() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.1], np.float32)
    assert best_of_each(np.array([1, 1, 1, 2, 2]), scores, 2).tolist() == [True, True, False, True, True]
    assert best_of_each(np.array([3, 3, 3, 3, 3]), scores, 1).tolist() == [False, True, False, False, False]
