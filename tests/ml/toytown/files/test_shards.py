import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from pycocotools import mask as coco_mask

from ml.toytown.files.shards import image_id, proposals, shard_scene, write_shard
from ml.toytown.world.draw import draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.scene import COLOURS, random_for

SAMPLE = Path(__file__).parents[5] / "shared" / "samples" / "sa1b" / "sa_1.json"


@pytest.fixture(scope="module")
def shard(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "sa_000003.tar"
    report = write_shard(3, few, path)
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    records = [json.loads(data) for member, data in members if member.name.endswith(".json")]
    return path, report, members, records


def test_same_bytes_each_time(shard, few, tmp_path):
    write_shard(3, few, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == shard[0].read_bytes()


def test_members(shard, few):
    _, report, members, records = shard
    ids = [image_id(3, index, few) for index in range(12)]
    assert [member.name for member, _ in members] == [f"sa_{i}.{end}" for i in ids for end in ("jpg", "json")]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member, _ in members} == {(0, 0, 0, "")}
    assert [record["image"]["image_id"] for record in records] == ids
    assert report.numbers["images"] == 12
    assert report.numbers["masks"] == sum(len(record["annotations"]) for record in records)


def test_jpegs_show_the_scenes(shard, few):
    data = [data for member, data in shard[2] if member.name.endswith(".jpg")]
    for index, encoded in enumerate(data):
        truth = draw(shard_scene(3, index, few)).image.astype(int)
        assert np.abs(simplejpeg.decode_jpeg(encoded).astype(int) - truth).mean() < 4


def test_layout_is_that_of_the_real_data(shard):
    if not SAMPLE.exists():
        pytest.skip("no SA-1B sample beside this checkout")

    def layout(value):
        if isinstance(value, dict):
            return {key: layout(item) for key, item in value.items()}
        return [layout(value[0])] if isinstance(value, list) and value else type(value).__name__

    real = json.loads(SAMPLE.read_text())
    for record in shard[3]:
        assert layout(record["image"]) == layout(real["image"])
        for annotation in record["annotations"]:
            assert layout(annotation) == layout(real["annotations"][0])


def test_fields_agree_with_the_masks(shard):
    for record in shard[3]:
        ids = [annotation["id"] for annotation in record["annotations"]]
        assert ids == sorted(set(ids)) and ids[-1] - ids[0] >= len(ids)
        for annotation in record["annotations"]:
            mask = coco_mask.decode(annotation["segmentation"])
            assert annotation["area"] == mask.sum()
            x, y, w, h = coco_mask.toBbox(annotation["segmentation"])
            assert annotation["bbox"] == ([x, y, w - 1, h - 1] if mask.any() else [0, 0, 0, 0])
            px, py = annotation["point_coords"][0]
            assert not mask.any() or mask[int(py), int(px)]


def test_masks_are_flawed_as_real_ones(shard):
    annotations = [annotation for record in shard[3] for annotation in record["annotations"]]
    scores = np.array([annotation["predicted_iou"] for annotation in annotations])
    areas = np.array([annotation["area"] for annotation in annotations])
    kept = np.mean((scores >= 0.88) & (np.array([a["stability_score"] for a in annotations]) >= 0.95))
    assert scores.max() > 1 and scores.min() < 0.7 and 0.6 < kept < 0.95
    assert (areas == 0).any() and ((areas > 0) & (areas < 12)).any()
    rles = [annotation["segmentation"] for annotation in shard[3][0]["annotations"]]
    iou = coco_mask.iou(rles, rles, [0] * len(rles))
    assert (iou[np.triu_indices(len(rles), 1)] > 0.85).any()


def test_every_visible_node_has_a_good_mask(few):
    drawing = draw(shard_scene(0, 0, few))
    found = proposals(drawing, random_for("any"))
    for node in np.flatnonzero(drawing.areas >= 40):
        truth = drawing.masks[node]
        assert max((mask & truth).sum() / (mask | truth).sum() for mask, _ in found) > 0.85


def test_nothing_of_the_truth_is_told(shard):
    words = {*KINDS, *COLOURS, "level", "part", "group", "object", "small", "large"}
    for member, data in shard[2]:
        if member.name.endswith(".json"):
            record = json.loads(data)
            for annotation in record["annotations"]:
                annotation["segmentation"]["counts"] = ""
            assert not words & set(re.findall("[a-z]+", json.dumps(record)))


def test_order_tells_nothing_of_level(shard, few):
    """The last mask of a file would otherwise always be a part, or the first the sky."""
    first, last = [], []
    for index, record in enumerate(shard[3]):
        sky = draw(shard_scene(3, index, few)).areas[0]
        first.append(abs(record["annotations"][0]["area"] - sky) < 50)
        last.append(record["annotations"][-1]["area"])
    assert np.mean(first) < 0.5 and max(last) > 20 * (min(last) + 1)
