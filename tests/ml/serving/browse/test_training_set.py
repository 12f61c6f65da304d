"""The pages of the training set against the whole of its Parquet files."""

import io
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

from ml.errors import UserError
from ml.labeling.training_set.manifest import is_validation
from ml.serving.browse import pictures, tables, training_set

SHARD = "sa_000000"


@pytest.mark.parametrize(("level", "kind"), [("", ""), ("group", ""), ("", "group"), ("group", "group")])
def test_pages_hold_every_picture_that_is_wanted_once(ws, rows, level, kind):
    wanted = [
        row["image_id"]
        for row in rows("pseudo_labels", SHARD)
        if level in ("", *row["levels"]) and kind in ("", *(query["kind"] for query in row["queries"]))
    ]
    first = training_set.page(ws, SHARD, level, kind, 0)
    starts = range(0, max(first["total"], 1), first["page"])
    shown = [
        card["image_id"] for start in starts for card in training_set.page(ws, SHARD, level, kind, start)["images"]
    ]
    assert shown == wanted and first["total"] == len(wanted)
    assert len(wanted) < 30 if level or kind else len(wanted) == 30


def test_a_choice_tells_how_many_pictures_have_it(ws, rows):
    found, known = training_set.page(ws, SHARD, "", "", 0), rows("pseudo_labels", SHARD)
    assert found["levels"] == Counter(level for row in known for level in set(row["levels"]))
    assert found["kinds"] == Counter(kind for row in known for kind in {query["kind"] for query in row["queries"]})


def test_a_card_shows_queries_of_the_kind_that_is_wanted(ws, rows):
    row = rows("pseudo_labels", SHARD)[0]
    card = training_set.page(ws, SHARD, "", "relation", 0)["images"][0]
    texts = [query["text"] for query in row["queries"] if query["kind"] == "relation"]
    assert card["asked"] == texts[:3] and card["masks"] == len(row["mask_ids"])


def test_a_picture_comes_with_its_masks_and_their_relevance(ws, rows):
    row = rows("pseudo_labels", SHARD)[7]
    told = training_set.picture(ws, SHARD, row["image_id"])
    assert [mask["mask_id"] for mask in told["masks"]] == row["mask_ids"]
    assert [mask["phrase"] for mask in told["masks"]] == row["phrases"]
    assert [mask["area"] for mask in told["masks"]] == [
        coco.area({"size": [row["height"], row["width"]], "counts": counts}) for counts in row["counts"]
    ]
    assert (told["relevance"], told["queries"]) == (row["relevance"], row["queries"])


def test_it_is_said_what_a_picture_is_used_for(ws, rows):
    (manifest,) = ws.stage("training_set").glob("*.json")
    group = json.loads(manifest.read_text())
    for image in [row["image_id"] for row in rows("pseudo_labels", SHARD)]:
        use = training_set.picture(ws, SHARD, image)["use"]
        split = "validation" if is_validation(group["seed"], image, group["validation_fraction"]) else "training"
        assert use.startswith("left out of training: a copy of ") if image in group["left_out"] else use == split


def test_a_jpeg_is_the_one_in_the_tar(ws, rows):
    row = rows("pseudo_labels", SHARD)[3]
    data = pictures.of_shard(ws, SHARD, row["image_id"])
    tar = ws.shard_file("sa1b_shards", SHARD, ".tar").read_bytes()
    assert data == tar[row["jpeg_offset"] : row["jpeg_offset"] + row["jpeg_bytes"]]
    with Image.open(io.BytesIO(pictures.small(data))) as image:
        assert image.format == "JPEG" and max(image.size) <= pictures.SMALL


def test_no_path_is_made_of_what_a_client_names(ws):
    outside = ws.root / "outside.parquet"
    outside.write_bytes(ws.shard_file("pseudo_labels", SHARD, ".parquet").read_bytes())
    for name in ("../../outside", str(outside.with_suffix("")), "sa_999999", ""):
        with pytest.raises(UserError, match=r"no shard .*; there are sa_000000 to sa_000001"):
            training_set.page(ws, name, "", "", 0)
    for image in ("../sources.json", "refcoco/../../outside.parquet"):
        with pytest.raises(UserError, match="no image"):
            pictures.of_benchmark(ws, image)
    with pytest.raises(UserError, match="sa_000000: no image 10000 has labels"):
        training_set.picture(ws, SHARD, 10**4)


def test_only_the_row_groups_of_what_is_shown_are_read(tmp_path, monkeypatch):
    table = tmp_path / "many.parquet"
    columns = {"image_id": np.arange(1000), "text": [str(i) for i in range(1000)]}
    pq.write_table(pa.table(columns), table, row_group_size=50)
    read: list[int] = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, i, **other: read.append(i) or original(self, i, **other)
    )
    with tables.opened(table) as file:
        found = tables.rows_at(file, [3, 49, 120], ["text"])
    assert [row["text"] for row in found] == ["3", "49", "120"]
    assert read == [0, 2]


def test_a_page_opens_the_files_of_its_own_shard_alone(ws, monkeypatch):
    opened: list[str] = []
    original = pq.ParquetFile.__init__

    def noted(self, path, **other):
        opened.append(str(path))
        original(self, path, **other)

    monkeypatch.setattr(pq.ParquetFile, "__init__", noted)
    training_set._held.cache_clear()
    training_set.page(ws, SHARD, "object", "", 0)
    assert opened and all(path.endswith(f"{SHARD}.parquet") for path in opened)
