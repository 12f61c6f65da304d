"""The three variants side by side: what each weighs, how often it is right, how long it takes."""

import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnxruntime import InferenceSession

from ml.errors import UserError
from ml.params import Params
from ml.release.runtime import sessions
from ml.release.runtime.predictor import Predictor
from ml.release.shrink import compress
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


def test_variants_are_measured_side_by_side(variants: Path, params: Params, asked: list[compress.Row]) -> None:
    rows = compress.measure(variants, asked, params)
    assert [row["variant"] for row in rows] == ["fp32", "pruned", "int8"]
    fp32, pruned, int8 = rows
    assert fp32["size_mb"] == pruned["size_mb"] and int8["size_mb"] < fp32["size_mb"] / 2
    assert all(0 <= row["acc@0.5"] <= 100 and row["latency_ms"] > 0 for row in rows)


def test_variants_with_the_same_towers_look_once_and_share_them(
    variants: Path, params: Params, asked: list[compress.Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compress.alike(variants) == [["fp32", "pruned"], ["int8"]]
    alive: weakref.WeakSet[InferenceSession] = weakref.WeakSet()
    most: list[int] = []

    class Watched(InferenceSession):
        def __init__(self, graph: str, *arguments: object, **named: object) -> None:
            super().__init__(graph, *arguments, **named)
            alive.add(self)
            most.append(len(alive))

    looked: list[Predictor] = []
    monkeypatch.setattr(sessions.onnxruntime, "InferenceSession", Watched)
    look = Predictor.look
    monkeypatch.setattr(Predictor, "look", lambda self, image: (looked.append(self.encoder), look(self, image))[1])
    monkeypatch.setattr(compress, "latency", lambda *_: 1.0)
    compress.measure(variants, asked * 2, params)
    assert len(looked) == 4 and len(set(map(id, looked))) == 2
    assert len(most) == 7 + 6 and max(most) == 7  # the decoder's two, fp32's four and pruned's heads, then int8's


def test_an_answer_is_right_from_half_an_iou(variants: Path, asked: list[compress.Row]) -> None:
    predictor = compress.load_predictors(variants, ["fp32"])["fp32"]
    scene = predictor.look(np.asarray(cv2.imread(str(asked[0]["path"])), np.uint8)[..., ::-1].copy())
    answers = predictor.answer(scene, asked[0]["texts"])
    boxes = scene.masks.coco_boxes()[[answers.best(query, 1)[0] for query in range(2)]]
    assert compress.correct(predictor, scene, asked[0] | {"boxes": boxes.tolist()}) == [True, True]
    moved = boxes + np.array([0, 1000, 0, 0])
    assert compress.correct(predictor, scene, asked[0] | {"boxes": moved.tolist()}) == [False, False]


def test_without_refcoco_it_says_which_param_to_set(tmp_path: Path, params: Params) -> None:
    with pytest.raises(UserError, match=r"refcoco\.parquet: no questions of split val.*set benchmarks\.refcoco"):
        compress.compress(Workspace(tmp_path), params)
    assert not list(tmp_path.iterdir())
