"""Predictions come from image and text alone, are written once, and are scored from the file."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.compute.pool import ShardPool
from ml.evaluation.benchmarks.index import build
from ml.evaluation.predictions import answers as predictions
from ml.evaluation.predictions.answers import predict
from ml.evaluation.predictions.files import read
from ml.evaluation.predictions.loaded import Sources
from ml.evaluation.predictions.plan import Question, Work
from ml.evaluation.predictions.predictor import Predictor
from ml.evaluation.predictions.proposals import Proposals
from ml.evaluation.scores import score
from ml.masks import Masks
from ml.params import Params


def run(data: Path, out: Path, weights: tuple[Path, Path], params: Params) -> dict[str, bytes]:
    with ShardPool(params.evaluation.workers) as pool:
        predict(data, Sources.of(*weights, params.evaluation, params.filter), out, pool)
    return {file.name: file.read_bytes() for file in sorted(out.glob("*.parquet"))}


def test_shuffled_or_deleted_truth_changes_no_prediction(
    folders: dict[str, Path], tmp_path: Path, weights: tuple[Path, Path], params: Params
) -> None:
    data = tmp_path / "data"
    build(folders, data, params)
    before = run(data, tmp_path / "before", weights, params)
    words = ("flickr30k_captions", "vqa")
    regions = ("refcoco", "flickr30k", "lvis", "relevance", "proposals")
    assert set(before) == {f"{n}.parquet" for n in (*words, *regions)}
    shuffled = np.random.default_rng(0)
    for file in (data / "truth").glob("*.parquet"):
        table = pq.read_table(file)
        order = shuffled.permutation(table.num_rows)
        kept = [name for name in table.column_names if name in ("query_id", "image")]
        columns = {n: table[n] if n in kept else table[n].take(order) for n in table.column_names}
        pq.write_table(pa.table(columns), file)
    assert run(data, tmp_path / "shuffled", weights, params) == before
    shutil.rmtree(data / "truth")
    assert run(data, tmp_path / "deleted", weights, params) == before


def test_another_image_or_text_does_change_it(
    folders: dict[str, Path], tmp_path: Path, weights: tuple[Path, Path], params: Params
) -> None:
    """The leak test would also pass for predictions that read nothing at all."""
    data = tmp_path / "data"
    build({"refcoco": folders["refcoco"]}, data, params)
    before = read_after(data, tmp_path / "before", weights, params)
    queries = pq.read_table(data / "queries" / "refcoco.parquet").to_pylist()
    changed = [{**row, "text": "green grass"} if row["query_id"] == "0_0" else row for row in queries]
    pq.write_table(pa.Table.from_pylist(changed), data / "queries" / "refcoco.parquet")
    images = folders["refcoco"] / "images" / "train2014"
    shutil.copy(images / "COCO_train2014_000000000002.jpg", images / "COCO_train2014_000000000001.jpg")
    after = read_after(data, tmp_path / "after", weights, params)
    assert after["0_0"]["relevance"] != before["0_0"]["relevance"]
    assert after["10_10"] != before["10_10"] and after["1_1"] == before["1_1"]


def read_after(data: Path, out: Path, weights: tuple[Path, Path], params: Params) -> dict:
    run(data, out, weights, params)
    return read(out / "refcoco.parquet")


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_files_are_the_same_whatever_chunk_is_done_first(
    folders: dict[str, Path],
    tmp_path: Path,
    weights: tuple[Path, Path],
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
) -> None:
    data = tmp_path / "data"
    build(folders, data, params)
    before = run(data, tmp_path / "before", weights, params)
    monkeypatch.setattr(predictions, "CHUNK", chunk)
    forwards = ShardPool.map  # on one thread, as always: two may add up in another order
    monkeypatch.setattr(ShardPool, "map", lambda self, work, shards: forwards(self, work, shards[::-1]))
    assert run(data, tmp_path / "backwards", weights, params) == before


def test_rows_are_ranked_and_whole(
    folders: dict[str, Path], tmp_path: Path, weights: tuple[Path, Path], params: Params
) -> None:
    data = tmp_path / "data"
    build(folders, data, params)
    run(data, tmp_path / "out", weights, params)
    rows = read(tmp_path / "out" / "refcoco.parquet")
    images = [row["image"] for row in rows.values()]
    assert len(rows) == 12 and images == sorted(images)
    for name in ("refcoco", "relevance", "lvis"):
        ids = pq.read_table(tmp_path / "out" / f"{name}.parquet")["query_id"].to_pylist()
        assert len(ids) == len(set(ids)), f"{name}: a question was answered twice"
    for row in rows.values():
        assert row["scores"] == sorted(row["scores"], reverse=True) and 0 < len(row["scores"]) <= 10
        assert len(row["boxes"]) == len(row["counts"]) == len(row["levels"]) == len(row["relevance"])
    given = read(tmp_path / "out" / "relevance.parquet")
    masks = pq.read_table(data / "regions" / "relevance.parquet").to_pylist()
    assert all(row["counts"] == masks[0]["counts"] for row in given.values())  # the given ones, in their order
    detections = read(tmp_path / "out" / "lvis.parquet")
    proposed = {row["image"]: row for row in pq.read_table(tmp_path / "out" / "proposals.parquet").to_pylist()}
    of_the_image = len(proposed["lvis/images/000000000003.jpg"]["boxes"])
    assert sum(len(row["scores"]) for row in detections.values()) == 3 * of_the_image > 0


def test_an_image_without_masks_has_regions_of_maps_and_no_detections(predictor: Predictor, params: Params) -> None:
    nothing = Proposals(Masks.parse([], (96, 128)), np.zeros(0, np.float32), np.zeros(0, np.float32))
    image = np.zeros((96, 128, 3), np.uint8)
    scene = predictor.scene(image, predictor.encode(image), nothing)
    names = [Question("lvis", str(n), f"thing {n}") for n in range(3)]
    work = Work("lvis/a.jpg", [Question("refcoco", "q", "red car")], names, None)
    rows = predictions.answer_work(predictor, scene, work, params.filter)
    assert set(rows) == {"refcoco"}
    assert rows["refcoco"][0]["boxes"] == [] and len(rows["refcoco"][0]["map_box"]) == 4


def test_scores_from_the_truth_itself_are_perfect(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    """Predictions of another program, written from the answers: every score must then be at its best."""
    data, out = tmp_path / "data", tmp_path / "perfect"
    build(folders, data, params)
    out.mkdir()
    write_perfect(data, out)
    result = score(data, out, params.milestones, params.seed)
    scores = result["scores"]
    for key in ("refcoco/val", "refcoco/testA"):
        assert [scores[key][m] for m in ("acc@0.5", "acc@0.9", "gIoU", "cIoU")] == [100.0] * 4
    assert scores["grounding/val"]["acc@0.5"] == 100 and scores["flickr30k/test"]["R@1"] == 100
    assert scores["flickr30k/test"]["R@1 MergedBox"] == 50  # the first of two balls is not the box around both
    assert scores["lvis/val"]["AP"] == 100 and scores["lvis/val"]["mask AP50"] == 100
    relevance = scores["relevance/val"]
    assert relevance["accuracy"] == relevance["level accuracy"] == relevance["grounding IoU"] == 100
    assert relevance["pearson"] == 1 and relevance["all-zero accuracy"] == 50
    assert relevance["hierarchical consistency"] == relevance["hierarchical consistency of the truth"] == 75
    assert scores["vqa/val"]["exact match"] == 100 and scores["vqa/val"]["VQA accuracy"] == 100
    assert scores["flickr30k_captions/test"]["BLEU-4"] == 100
    assert all(row["met"] for row in result["milestones"]) and len(result["milestones"]) == 4
    assert result["intervals"]["refcoco/val"]["acc@0.5"] == [100, 100]
    for key in scores:
        headline = next(iter(scores[key]))
        low, high = result["intervals"][key][headline]
        assert low <= scores[key][headline] <= high


def test_missing_predictions_count_as_wrong(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    data, out = tmp_path / "data", tmp_path / "some"
    build({"refcoco": folders["refcoco"]}, data, params)
    out.mkdir()
    write_perfect(data, out)
    rows = pq.read_table(out / "refcoco.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist([row for row in rows if row["query_id"] != "10_10"]), out / "refcoco.parquet")
    scores = score(data, out, params.milestones, params.seed)["scores"]
    assert scores["refcoco/val"]["acc@0.5"] == pytest.approx(100 * 5 / 6, abs=0.01)


def write_perfect(data: Path, out: Path) -> None:
    levels = {0: "object", 1: "object", 2: "part"}
    for file in sorted((data / "truth").glob("*.parquet")):
        if file.stem.endswith("_regions"):
            continue
        questions = {q["query_id"]: q for q in pq.read_table(data / "queries" / file.name).to_pylist()}
        rows = []
        for truth in pq.read_table(file).to_pylist():
            boxes, counts = truth.get("boxes", []), truth.get("counts", [])
            rows.append(
                {
                    "query_id": truth["query_id"],
                    "text": truth.get("answer") or truth.get("references", [""])[0],
                    "image": truth.get("image") or questions[truth["query_id"]]["image"],
                    "boxes": boxes,
                    "counts": counts,
                    "scores": [1.0] * len(boxes),
                    "relevance": truth.get("relevance", []),
                    "levels": [levels[i] for i in range(3)],
                    "map_box": boxes[0] if boxes else None,
                    "map_counts": counts[0] if counts else None,
                    "point": [boxes[0][0] + 1, boxes[0][1] + 1] if boxes else None,
                }
            )
        pq.write_table(pa.Table.from_pylist(rows), out / file.name)
