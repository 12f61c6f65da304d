"""The training set read back against the files it lies in."""

import json
import pickle
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from ml.errors import UserError
from ml.labeling.training_set.manifest import is_validation
from ml.training.data.samples import TrainingData
from ml.workspace import Workspace

Make = Callable[..., Workspace]


def test_every_image_is_read_as_written(workspace: Make) -> None:
    ws = workspace()
    data = TrainingData(ws)
    assert len(data) == 20
    index = 0
    for shard in ("sa_000000", "sa_000001"):
        rows = pq.read_table(ws.shard_file("pseudo_labels", shard, ".parquet")).to_pylist()
        embeddings = load_file(ws.shard_file("pseudo_labels", shard, ".safetensors"))["embeddings"]
        features = load_file(ws.shard_file("image_features", shard, ".safetensors"))["features"]
        start = 0
        for place, row in enumerate(rows):
            labels = data.labels(index)
            n = len(row["counts"])
            assert (labels.image_id, labels.shard) == (row["image_id"], shard) == (data.image_ids[index], shard)
            assert labels.masks.to_strings() == row["counts"]
            assert np.array_equal(labels.boxes, np.array(row["boxes"], np.float32))
            assert np.array_equal(labels.relevance, np.array(row["relevance"], np.float32))
            assert [query._asdict() for query in labels.queries] == row["queries"]
            assert np.array_equal(data.embeddings(index), embeddings[start : start + n].astype(np.float32))
            for view in (0, 1):
                assert np.array_equal(data.features(index, view), features[view, place])
            start, index = start + n, index + 1


def test_a_copy_for_another_process_reads_the_same_and_is_small(workspace: Make) -> None:
    data = TrainingData(workspace())
    copied = pickle.dumps(data)
    assert len(copied) < 2000  # a few numbers a row group, none an image
    other = pickle.loads(copied)
    for index in range(len(data)):
        ours, theirs = data.labels(index), other.labels(index)
        assert (ours.image_id, ours.first_mask, ours.queries) == (theirs.image_id, theirs.first_mask, theirs.queries)
        assert np.array_equal(data.embeddings(index), other.embeddings(index))
        assert np.array_equal(data.features(index, 1), other.features(index, 1))


def test_images_without_masks_do_not_shift_the_embeddings(workspace: Make) -> None:
    ws = workspace()
    path = ws.shard_file("pseudo_labels", "sa_000000", ".parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in (rows[1], rows[4], rows[5]):
        row.update({key: [] for key in ("mask_ids", "counts", "boxes", "phrases", "queries", "relevance", "questions")})
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, row_group_size=4)
    data = TrainingData(ws)
    masks = np.cumsum([0, *(len(row["mask_ids"]) for row in rows)])
    assert [data.labels(index).first_mask for index in range(10)] == masks[:-1].tolist()


def test_features_are_found_by_image_not_by_place(workspace: Make) -> None:
    from safetensors.numpy import save_file

    ws = workspace()
    path = ws.shard_file("image_features", "sa_000000", ".safetensors")
    wanted = TrainingData(ws).features(2, 0)
    stored = load_file(path)
    save_file({name: np.flip(stored[name], axis).copy() for name, axis in (("features", 1), ("image_ids", 0))}, path)
    assert np.array_equal(TrainingData(ws).features(2, 0), wanted)


def test_the_split_is_by_hash(workspace: Make) -> None:
    data = TrainingData(workspace())
    assert list(data.validation) == [is_validation(0, int(image_id), 0.3) for image_id in data.image_ids]
    assert 0 < data.validation.sum() < 20


def test_labels_of_an_older_version_are_refused(workspace: Make) -> None:
    ws = workspace()
    path = next(ws.stage("pseudo_labels").glob("*.parquet"))
    table = pq.read_table(path)
    queries = [
        [{"text": q["text"], "kind": q["kind"], "target": q["target"]} for q in row]
        for row in table["queries"].to_pylist()
    ]
    pq.write_table(table.set_column(table.column_names.index("queries"), "queries", pa.array(queries)), path)
    with pytest.raises(UserError, match="lack anchor, named, name, against, it is older; materialize `pseudo_labels`"):
        TrainingData(ws)


def test_a_set_without_images_says_so(workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TrainingData(workspace())
    monkeypatch.setattr(data, "left_out", np.ones(len(data.left_out), bool))
    with pytest.raises(UserError, match=r"found 20 images with labels, 20 of them copies.*loosen `filter`"):
        data._check_split()


def test_a_split_without_validation_is_refused(workspace: Make) -> None:
    ws = workspace()
    path = ws.stage("training_set") / "group_000.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "validation_fraction": 0.0}))
    with pytest.raises(UserError, match=r"training_set\.validation_fraction: it leaves 20 images to train on and 0"):
        TrainingData(ws)


def ask_nothing_of(ws: Workspace, images: np.ndarray) -> None:
    """Write the labels again, without the queries of some images."""
    for path in sorted(ws.stage("pseudo_labels").glob("*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            if row["image_id"] in images:
                row.update(queries=[], relevance=[])
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, row_group_size=4)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_images_without_any_query_are_nothing_to_learn_from(workspace: Make, part: str) -> None:
    ws = workspace()
    data = TrainingData(ws)
    images = data.image_ids[getattr(data, part)]
    ask_nothing_of(ws, images[1:])
    assert len(TrainingData(ws)) == 20
    ask_nothing_of(ws, images)
    words = "to train on" if part == "train" else "to validate with"
    with pytest.raises(
        UserError, match=f"none of {len(images)} images {words} has a query; see the data card"
    ) as error:
        TrainingData(ws)
    assert ("validation_fraction" in str(error.value)) == (part == "validation")


def test_a_shard_without_images_is_no_error(workspace: Make) -> None:
    ws = workspace()
    path = ws.shard_file("pseudo_labels", "sa_000000", ".parquet")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert len(TrainingData(ws)) == 10


@pytest.mark.parametrize(
    ("stage", "file", "message"),
    [
        ("training_set", "group_000.json", "group_000.json: not readable as JSON"),
        ("pseudo_labels", "sa_000001.parquet", "sa_000001.parquet: not readable as Parquet"),
        ("pseudo_labels", "sa_000001.safetensors", "sa_000001.safetensors: not readable as safetensors"),
        ("image_features", "sa_000001.safetensors", "sa_000001.safetensors: not readable as safetensors"),
    ],
)
@pytest.mark.parametrize("broken", [None, b"", b"broken" * 10])
def test_a_broken_file_is_named(workspace: Make, stage: str, file: str, message: str, broken: bytes | None) -> None:
    ws = workspace()
    path = ws.stage(stage) / file
    if broken is None and stage != "training_set":
        path.unlink()
    else:
        path.write_bytes(broken or b"")
    with pytest.raises(UserError, match=message):
        data = TrainingData(ws)
        data.embeddings(19)
        data.features(19, 0)


def test_no_training_set(workspace: Make) -> None:
    ws = workspace()
    (ws.stage("training_set") / "group_000.json").unlink()
    with pytest.raises(UserError, match="materialize the stage `training_set` first"):
        TrainingData(ws)


def test_a_missing_view_is_named(workspace: Make) -> None:
    with pytest.raises(UserError, match="no view 2 of image 0"):
        TrainingData(workspace()).features(0, 2)


def test_copies_of_benchmark_images_are_neither_trained_on_nor_validated_with(workspace: Make) -> None:
    ws = workspace()
    path = ws.stage("training_set") / "group_000.json"
    image_id = int(TrainingData(ws).image_ids[0])
    path.write_text(json.dumps({**json.loads(path.read_text()), "left_out": [image_id]}))
    data = TrainingData(ws)
    assert data.image_ids[data.left_out].tolist() == [image_id]
    assert not (data.left_out & (data.train | data.validation)).any() and (data.train ^ data.validation)[1:].all()
