"""What a step sees, against the labels it comes from."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ml.masks import Frame
from ml.params import Params
from ml.training.data.augment import View, mirrored
from ml.training.data.batches import (
    Examples,
    balanced,
    collate,
    visible,
)
from ml.training.data.samples import TrainingData
from ml.training.data.targets import grounding_targets
from ml.workspace import Workspace
from ml.workspace.settings import load

SIDE = 64
Make = Callable[..., Workspace]


def examples(ws: Workspace, train: bool = True, seed: int = 0, **changes: Any) -> tuple[Examples, Params]:
    params = load(ws.params_file)
    return Examples(TrainingData(ws), params.training.model_copy(update=changes), SIDE, seed, train), params


def flipped(params: Params, probability: float) -> dict[str, Any]:
    return {"augment": params.training.augment.model_copy(update={"flip": probability})}


def test_a_plain_view_agrees_with_the_labels(workspace: Make) -> None:
    made, _ = examples(workspace(), train=False, queries_per_image=100)
    for index in range(len(made.data)):
        labels, example = made.data.labels(index), made.example(0, index)
        n = len(labels.masks)
        assert example.valid.all()
        assert np.allclose(example.fine, labels.masks.coverage((16, 16), Frame(None, False, SIDE)))
        assert np.allclose(example.boxes[:, :2] * SIDE, labels.boxes[:, :2], atol=1e-4)  # 48 x 64: no resizing
        assert np.array_equal(example.embeddings, made.data.embeddings(index))
        assert np.array_equal(example.crops, example.embeddings)
        assert np.array_equal(example.pixels, made.data.features(index, 0))
        by_text = {query.text: q for q, query in enumerate(labels.queries)}
        assert len(example.queries) == len(labels.queries)
        for q, text in enumerate(example.queries):
            assert np.array_equal(example.relevance[q], labels.relevance[by_text[text]][:n])


def test_crops_are_doubted_in_training_anew_each_epoch(workspace: Make) -> None:
    made, _ = examples(workspace(), regions_per_image=100)
    factors = []
    for epoch in range(20):
        for index in range(len(made.data)):
            example = made.example(epoch, index)
            factors.append((example.crops * example.embeddings).sum(-1))
            np.testing.assert_allclose(example.crops, factors[-1][:, None] * example.embeddings, rtol=1e-4, atol=1e-6)
            assert np.array_equal(made.example(epoch, index).crops, example.crops)
    drawn = np.concatenate(factors)
    assert 0.15 < (drawn < 0.999).mean() < 0.45 and drawn.max() == pytest.approx(1, abs=1e-5)


def test_a_mirrored_view_mirrors_everything(workspace: Make) -> None:
    ws = workspace()
    params = load(ws.params_file)
    plain, _ = examples(ws, **flipped(params, 0.0), queries_per_image=100)
    mirror, _ = examples(ws, **flipped(params, 1.0), queries_per_image=100)
    for index in range(len(plain.data)):
        a, b = plain.example(0, index), mirror.example(0, index)
        assert np.allclose(b.fine, a.fine[:, :, ::-1], atol=1e-5)  # 64 wide: no padding at the side
        assert np.allclose(b.boxes[:, [0, 2]], 1 - a.boxes[:, [2, 0]], atol=1e-6)
        assert np.array_equal(b.pixels, plain.data.features(index, 1))
        assert sorted(b.queries) == sorted(mirrored(text) for text in a.queries)
        assert [mirrored(text) for text in a.questions] == b.questions == ["what is on the right?"]


def test_examples_depend_on_seed_epoch_and_image_alone(workspace: Make) -> None:
    ws = workspace()
    (first, _), (second, _), (other, _) = examples(ws), examples(ws), examples(ws, seed=1)
    second.example(0, 3)  # another order of reading
    drawn = [first.example(epoch, 5) for epoch in range(12)]
    for epoch, example in enumerate(drawn):
        again = second.example(epoch, 5)
        assert again.queries == example.queries
        assert np.array_equal(again.pixels, example.pixels)
    assert len({tuple(example.queries) for example in drawn}) > 1
    assert any(other.example(epoch, 5).queries != example.queries for epoch, example in enumerate(drawn))


def test_validation_is_the_same_every_time(workspace: Make) -> None:
    made, _ = examples(workspace(), train=False)
    assert made.example(0, 5).queries == made.example(0, 5).queries
    assert np.array_equal(made.example(0, 5).pixels, made.data.features(5, 0))


def test_kinds_take_turns(workspace: Make) -> None:
    data = TrainingData(workspace())
    labels = data.labels(0)
    present = [q for q, query in enumerate(labels.queries) if query.kind != "absent"]
    count = Counter(labels.queries[q].kind for q in present)
    assert count["attribute"] > 1 and count["superlative"] == count["relation"] == 1
    for seed in range(10):
        order = balanced(np.random.default_rng(seed), present, labels)
        assert sorted(order) == present
        assert {labels.queries[q].kind for q in order[:3]} == {"attribute", "superlative", "relation"}


def test_anchors_come_along_with_what_is_told_against_them(workspace: Make) -> None:
    made, _ = examples(workspace(), train=False, regions_per_image=1, queries_per_image=100)
    anchored = 0
    for index in range(len(made.data)):
        example, labels = made.example(0, index), made.data.labels(index)
        asked = {query.text: query for query in labels.queries}
        rows = zip(example.queries, example.targets, example.anchors, example.named, strict=True)
        for text, target, anchor, named in rows:
            assert (target < 0) == (asked[text].target < 0) and (anchor < 0) == (asked[text].anchor < 0)
            assert target < 0 or named[target] == 1
            if anchor >= 0:
                corner = labels.boxes[asked[text].anchor, :2] / SIDE
                assert np.allclose(example.boxes[anchor, :2], corner, atol=1e-5)
                anchored += 1
    assert anchored == 2 * len(made.data)  # one of them absent


def test_few_regions_are_those_that_something_asks_for(workspace: Make) -> None:
    made, _ = examples(workspace(), train=False, regions_per_image=1, queries_per_image=1, absent=0.0)
    for index in range(len(made.data)):
        example = made.example(0, index)
        labels = made.data.labels(index)
        meant = [labels.boxes[query.target, :2] / SIDE for query in labels.queries if query.text == example.queries[0]]
        assert any(np.allclose(example.boxes[example.targets[0], :2], corner, atol=1e-5) for corner in meant)
        assert len(example.valid) <= 5  # a target, its anchor, two phrases, an evidence


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_queries_is_of_what_is_absent(workspace: Make, share: float) -> None:
    made, _ = examples(workspace(), absent=share, queries_per_image=2)
    drawn = [made.example(epoch, index) for epoch in range(40) for index in range(len(made.data))]
    assert {len(example.queries) for example in drawn} == {2}
    absent = [target < 0 for example in drawn for target in example.targets]
    assert np.mean(absent) == pytest.approx(share, abs=0.03)
    texts = {text for example in drawn for text, target in zip(example.queries, example.targets, strict=True)
             if target < 0}  # fmt: skip
    assert (("yellow box" in texts) and len(texts) > 3) == (share > 0)


def test_without_absent_queries_all_are_of_what_is_there(workspace: Make) -> None:
    """Labels that were made with `labels.absent_queries` of 0."""
    ws = workspace()
    for path in sorted(ws.stage("pseudo_labels").glob("*.parquet")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            row.update({key: row[key][:-3] for key in ("queries", "relevance")})
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, row_group_size=4)
    made, _ = examples(ws, absent=0.5, queries_per_image=3)
    drawn = [made.example(epoch, index) for epoch in range(5) for index in range(len(made.data))]
    assert {len(example.queries) for example in drawn} == {3}
    assert min(target for example in drawn for target in example.targets) == 0


def test_a_crop_drops_regions_and_what_asks_for_them(workspace: Make) -> None:
    data = TrainingData(workspace())
    labels = data.labels(0)
    x, y, w, h = labels.boxes[0]
    cut = View(Frame((x, y, x + w + 1, y + h + 1), False, SIDE), None)
    seen = visible(labels, cut, labels.masks.coverage((16, 16), cut.frame))
    inside = [labels.masks.dense(n)[int(y) : int(y + h + 1), int(x) : int(x + w + 1)].sum() for n in range(len(seen))]
    assert seen[0]
    assert list(seen) == [part >= 0.5 * area for part, area in zip(inside, labels.masks.areas(), strict=True)]
    half = View(Frame((x, y, x + w / 3, y + h), False, SIDE), None)
    assert not visible(labels, half, labels.masks.coverage((16, 16), half.frame))[0]


def test_collate_pads(workspace: Make) -> None:
    made, _ = examples(workspace(), train=False, queries_per_image=100)
    several = [made.example(0, index) for index in range(6)]
    batch = collate(several)
    most = max(len(example.valid) for example in several)
    assert batch.valid.shape == (6, most)
    assert batch.fine.shape == (6, most, 16, 16)
    for b, example in enumerate(several):
        n, q = len(example.valid), len(example.queries)
        assert int(batch.valid[b].sum()) == n
        assert torch.equal(batch.relevance[b, :q, :n], torch.from_numpy(example.relevance))
        assert float(batch.relevance[b].sum()) == pytest.approx(float(example.relevance.sum()))
        assert batch.queries[b] == [*example.queries, *[""] * (len(batch.queries[0]) - q)]
        assert batch.targets[b].tolist() == [*example.targets, *[-1] * (len(batch.queries[0]) - q)]
        assert batch.evidence[b].tolist() == example.evidence.tolist()
    assert len({len(example.queries) for example in several}) > 1


def test_coverage_of_the_grid_is_exact(workspace: Make) -> None:
    made, _ = examples(workspace(), train=False)
    batch = made[[(0, 0), (0, 1)]]
    labels = made.data.labels(0)
    wanted = labels.masks.coverage((4, 4), Frame(None, False, SIDE))
    assert np.allclose(batch.coverage[0, : len(wanted)].numpy(), wanted, atol=1e-6)


def test_an_image_without_masks_or_queries_is_padding(workspace: Make) -> None:
    ws = workspace()
    path = ws.shard_file("pseudo_labels", "sa_000001", ".parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row, lists in ((rows[8], ["queries", "relevance", "questions"]), (rows[9], ["mask_ids", "counts", "boxes"])):
        row.update({key: [] for key in lists})
    rows[9].update({"phrases": [], "queries": [], "relevance": [], "questions": []})
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    made, _ = examples(ws)
    batch = made[[(0, 0), (0, 18), (0, 19)]]
    assert batch.queries[1] == batch.queries[2] == [""] * len(batch.queries[0])
    assert batch.valid.any(1).tolist() == [True, True, False]
    assert torch.isfinite(grounding_targets(batch)).all()


def test_pixels_read_from_the_tars_agree_with_the_coverage(workspace: Make) -> None:
    ws = workspace()
    augment = load(ws.params_file).training.augment.model_copy(update={"color_jitter": [0, 0, 0, 0]})
    made, _ = examples(ws, cached_features=False, augment=augment, regions_per_image=100)
    seen = 0
    for index in range(len(made.data)):
        example = made.example(0, index)
        assert (example.pixels.shape, example.pixels.dtype) == ((4, SIDE, SIDE), np.uint8)
        frame = made._view(np.random.default_rng([0, 0, example.image_id]), made.data.labels(index)).frame
        height, width = (edge // 4 for edge in frame.resized((48, 64)))
        if not example.valid[0] or len(example.valid) < len(made.data.labels(index).masks):
            continue
        bright = (example.pixels[0] / 255).reshape(16, 4, 16, 4).mean((1, 3))[:height, :width]
        assert np.abs(bright - example.fine[0, :height, :width]).max() < 0.2
        seen += 1
    assert seen > 10


def test_workers_make_the_same_batches(workspace: Make) -> None:
    ws = workspace()
    made, _ = examples(ws, cached_features=False)
    positions = [[(epoch, index) for index in range(first, first + 4)] for epoch in (0, 1) for first in (0, 8, 16)]
    loader = torch.utils.data.DataLoader(
        made, batch_size=None, sampler=positions, num_workers=2, multiprocessing_context="forkserver"
    )
    for batch, position in zip(loader, positions, strict=True):
        alone = made[position]
        assert (batch.queries, batch.answers) == (alone.queries, alone.answers)
        assert all(torch.equal(getattr(batch, name), getattr(alone, name)) for name in ("pixels", "fine", "embeddings"))
