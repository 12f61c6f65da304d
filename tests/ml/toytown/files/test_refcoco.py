import contextlib
import io
import json
from collections import Counter

import numpy as np
import pytest
from pycocotools.coco import COCO

from ml.evaluation.benchmarks.referring.plain_pickle import load_plain_pickle
from ml.evaluation.benchmarks.referring.refcoco import read_refcoco
from ml.toytown.files.annotations import polygons
from ml.toytown.files.refcoco import SETS, write_refcoco
from ml.toytown.world.scene import HELD_OUT


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("refcoco")
    write_refcoco(path, few)
    return path


@pytest.fixture(scope="module")
def coco(folder) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / "refcoco" / "instances.json"))


def refs(folder, name):
    return load_plain_pickle(folder / name / f"refs({SETS[name]}).p")


def test_layout_of_refs(folder, coco):
    for name in SETS:
        rows = refs(folder, name)
        sent_ids = [i for ref in rows for i in ref["sent_ids"]]
        assert len(sent_ids) == len(set(sent_ids))
        assert len({ref["ref_id"] for ref in rows}) == len(rows)
        for ref in rows:
            assert set(ref) == {
                *("sent_ids", "file_name", "ann_id", "ref_id"),
                *("image_id", "split", "sentences", "category_id"),
            }
            assert [s["sent_id"] for s in ref["sentences"]] == ref["sent_ids"]
            told = {"kind"} if ref["split"] == "ways" else set()
            assert all(set(s) == {"tokens", "raw", "sent_id", "sent"} | told for s in ref["sentences"])
            annotation = coco.anns[ref["ann_id"]]
            assert (annotation["image_id"], annotation["category_id"]) == (ref["image_id"], ref["category_id"])
            assert (folder / "images" / "train2014" / coco.imgs[ref["image_id"]]["file_name"]).is_file()


def test_splits(folder, coco):
    person = next(c["id"] for c in coco.dataset["categories"] if c["name"] == "person")
    splits = {name: Counter(ref["split"] for ref in refs(folder, name)) for name in SETS}
    assert splits["refcoco"].keys() == {"val", "testA", "testB", "heldout", "ways"}
    assert splits["refcoco+"].keys() == {"val", "testA", "testB"}
    assert splits["refcocog"].keys() == {"val", "test"}
    for ref in refs(folder, "refcoco"):
        if ref["split"] in ("testA", "testB"):
            assert (ref["category_id"] == person) == (ref["split"] == "testA")


def test_image_counts(folder, few):
    images = {(ref["split"], ref["image_id"]) for ref in refs(folder, "refcoco")}
    per_split = Counter(split for split, _ in images)
    assert all(3 <= n <= few.toytown.refcoco_images for n in per_split.values())


def test_refcoco_plus_has_no_place(folder):
    words = " ".join(s["sent"] for ref in refs(folder, "refcoco+") for s in ref["sentences"])
    assert not {"left", "right", "above", "below", "leftmost", "topmost", "overlapping"} & set(words.split())


def test_refcocog_is_longer(folder):
    def length(name):
        return np.mean([len(s["tokens"]) for ref in refs(folder, name) for s in ref["sentences"]])

    assert length("refcocog") > length("refcoco") + 2


def test_held_out_targets(folder, coco):
    names = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    kinds = {kind for _, kind in HELD_OUT}
    held = [ref for ref in refs(folder, "refcoco") if ref["split"] == "heldout"]
    assert held and all(names[ref["category_id"]] in kinds for ref in held)


def test_boxes_match_masks(coco):
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation)
        ys, xs = np.nonzero(mask)
        box = [xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()]
        assert np.abs(np.array(annotation["bbox"]) - box).max() <= 1
        assert mask.sum() >= 0.95 * annotation["area"]


def test_polygons_run_around_the_pixels(drawings):
    from pycocotools import mask as coco_mask

    for node in drawings[0].scene.nodes:
        mask = drawings[0].masks[node.id]
        if node.level == "object":
            again = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons(mask), 256, 256))) > 0
            assert (again & mask).sum() / (again | mask).sum() > 0.97


def test_the_evaluation_reads_all_of_it(folder):
    for benchmark in read_refcoco(folder):
        assert benchmark.examples and not benchmark.rejected


def test_instances_are_shared(folder):
    assert len({(folder / name / "instances.json").read_text() for name in SETS}) == 1
    assert json.loads((folder / "refcoco" / "instances.json").read_text())["images"][0]["width"] == 256
