"""The three variants side by side: what each weighs, how often it is right, how long it takes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.errors import UserError
from ml.evaluation.predictions.predictor import Crops, Predictor, TorchHeads
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam
from ml.params import Params
from ml.release import compress
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from ml.workspace import Workspace
from ml.workspace.settings import preset


@pytest.fixture
def params() -> Params:
    params = preset("smoke")
    return params.model_copy(update={"compression": params.compression.model_copy(update={"latency_runs": 1})})


@pytest.fixture
def asked(tmp_path: Path) -> list[compress.Row]:
    town = draw(scene(0, 0, "tests"))
    cv2.imwrite(str(tmp_path / "town.jpg"), town.image[..., ::-1])
    return [{"path": tmp_path / "town.jpg", "texts": ["the sky", "the road"], "boxes": [[0, 0, 256, 90]] * 2}]


def test_variants_are_measured_side_by_side(
    variants: Path, sam: Sam, clip: Clip, model: ARRCOC, params: Params, asked: list[compress.Row]
) -> None:
    image = np.asarray(cv2.imread(str(asked[0]["path"])), np.uint8)[..., ::-1].copy()
    crops = Crops(clip, params.labels.crop_margin)
    scenes = compress.look(variants, Predictor(sam, crops, TorchHeads(model, clip), params.evaluation), [image])
    assert scenes["fp32"] is scenes["pruned"]
    assert not torch.equal(scenes["fp32"][0].features, scenes["int8"][0].features)
    assert all(len(scene.crops) == len(scene.proposals.masks) for (scene,) in scenes.values())
    rows = compress.measure(variants, sam, clip, asked, scenes, params)
    assert [row["variant"] for row in rows] == ["fp32", "pruned", "int8"]
    fp32, pruned, int8 = rows
    assert fp32["size_mb"] == pruned["size_mb"] and int8["size_mb"] < fp32["size_mb"] / 2
    assert all(0 <= row["acc@0.5"] <= 100 and row["latency_ms"] > 0 for row in rows)


def test_an_answer_is_right_from_half_an_iou(
    variants: Path, sam: Sam, clip: Clip, params: Params, asked: list[compress.Row]
) -> None:
    predictor = compress.load_predictor(variants / "fp32", sam, clip, params)
    scene = predictor.look(np.asarray(cv2.imread(str(asked[0]["path"])), np.uint8)[..., ::-1].copy())
    answers = predictor.answer(scene, asked[0]["texts"])
    boxes = scene.proposals.masks.coco_boxes()[[answers.best(query, 1)[0] for query in range(2)]]
    assert compress.correct(predictor, scene, asked[0] | {"boxes": boxes.tolist()}) == [True, True]
    moved = boxes + np.array([0, 1000, 0, 0])
    assert compress.correct(predictor, scene, asked[0] | {"boxes": moved.tolist()}) == [False, False]


def test_without_refcoco_it_says_which_param_to_set(tmp_path: Path, params: Params) -> None:
    with pytest.raises(UserError, match=r"refcoco\.parquet: no questions of split val.*set benchmarks\.refcoco"):
        compress.compress(Workspace(tmp_path), params)
    assert not list(tmp_path.iterdir())
