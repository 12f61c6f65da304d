import contextlib
import io
import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from ml.evaluation.benchmarks.lvis import read_lvis
from ml.toytown.files.annotations import CATEGORY
from ml.toytown.files.lvis import write_lvis
from ml.toytown.world.draw import draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.scene import scene

SAMPLE = Path(__file__).parents[5] / "shared" / "samples" / "lvis" / "lvis_val_100.json"


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("lvis")
    counts = few.toytown.model_copy(update={"lvis_images": 12})
    write_lvis(path, few.model_copy(update={"toytown": counts}))
    return path


@pytest.fixture(scope="module")
def lvis(folder):
    return json.loads((folder / "lvis_v1_val.json").read_text())


def test_fields_of_the_real_file(lvis):
    if not SAMPLE.exists():
        pytest.skip("no LVIS sample beside this checkout")
    real = json.loads(SAMPLE.read_text())
    assert set(lvis) == set(real)
    assert set(lvis["categories"][0]) == set(real["categories"][0])
    assert set(lvis["annotations"][0]) >= set(real["annotations"][0])
    federated = {"neg_category_ids", "not_exhaustive_category_ids", "coco_url"}
    assert federated <= set(lvis["images"][0]) & set(real["images"][0])


def test_categories_count_what_is_there(lvis):
    for category in lvis["categories"]:
        items = [a for a in lvis["annotations"] if a["category_id"] == category["id"]]
        assert category["instance_count"] == len(items)
        assert category["image_count"] == len({a["image_id"] for a in items})
        assert category["frequency"] in "rcf"


def test_negative_and_unfinished_categories_are_true(lvis, few):
    for image in lvis["images"]:
        truth = [CATEGORY[t.kind] for t in scene(few.seed, image["id"] - 1, "lvis/val").things]
        labelled = [a["category_id"] for a in lvis["annotations"] if a["image_id"] == image["id"]]
        assert image["neg_category_ids"] and not set(image["neg_category_ids"]) & set(truth)
        for category in CATEGORY.values():
            loose = category in image["not_exhaustive_category_ids"]
            assert labelled.count(category) == truth.count(category) - loose


def test_coco_loads_it(folder, few):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "lvis_v1_val.json"))
    drawing = draw(scene(few.seed, 0, "lvis/val"))
    for annotation in coco.imgToAnns[1]:
        mask = coco.annToMask(annotation) > 0
        best = max((mask & truth).sum() / (mask | truth).sum() for truth in drawing.masks)
        assert best > 0.95


def test_the_evaluation_reads_all_of_it(folder):
    (benchmark,) = read_lvis(folder)
    assert not benchmark.rejected and len(benchmark.examples) == len(KINDS) and len(benchmark.images) == 12
