"""What was left out, against the tables of the stages and a pass of the filter over the whole shard."""

import json
from collections import Counter

import pytest

from ml.errors import UserError
from ml.serving.browse import left_out
from ml.workspace.settings import load

BROKEN = "sa_000001"


def test_broken_members_and_masks_come_with_their_reason(ws, rows):
    known = rows("mask_index", BROKEN, ".rejects.parquet")
    found = left_out.page(ws, "mask_index", BROKEN, "", 0)
    assert found["rows"] == known and {row["field"] for row in known} >= {"segmentation.counts"}
    assert found["reasons"] == Counter(row["reason"] for row in known) and len(known) == 2
    one = left_out.page(ws, "mask_index", BROKEN, known[1]["reason"], 0)
    assert (one["rows"], one["total"]) == (known[1:], 1)


def test_dropped_masks_are_those_not_kept(ws, rows):
    present, kept = ({row["mask_id"]: row for row in rows(stage, BROKEN)} for stage in ("mask_index", "filtered_masks"))
    page = left_out.page(ws, "filtered_masks", BROKEN, "", 0)
    reasons: Counter[str] = Counter()
    for start in range(0, page["total"], page["page"]):
        for row in left_out.page(ws, "filtered_masks", BROKEN, "", start)["rows"]:
            told = left_out.dropped(ws, BROKEN, row["image_id"])
            own = {mask for mask, found in present.items() if found["image_id"] == row["image_id"]}
            assert {mask["mask_id"] for mask in told["masks"]} == own - kept.keys()
            assert (row["masks"], row["dropped"]) == (len(own), len(own - kept.keys()))
            reasons.update(mask["reason"] for mask in told["masks"])
    assert reasons == page["reasons"]  # what the filter itself has counted


def test_a_reason_is_not_made_up_where_the_params_have_moved(ws, monkeypatch):
    params = load(ws.params_file)
    loose = params.filter.model_copy(update={"predicted_iou": 0.0, "stability_score": 0.0})
    monkeypatch.setattr(left_out, "load", lambda _: params.model_copy(update={"filter": loose}))
    image = left_out.page(ws, "filtered_masks", BROKEN, "", 0)["rows"][0]["image_id"]
    assert left_out.OTHERWISE in {mask["reason"] for mask in left_out.dropped(ws, BROKEN, image)["masks"]}


def test_copies_of_benchmarks_are_those_of_the_manifest(ws):
    (manifest,) = ws.stage("training_set").glob("*.json")
    copies = json.loads(manifest.read_text())["copies"]
    assert copies, "toytown has some"
    shown = [row for shard in ("sa_000000", BROKEN) for row in left_out.page(ws, "training_set", shard, "", 0)["rows"]]
    assert [row["image_id"] for row in shown] == [copy["image_id"] for copy in copies]


def test_what_leaves_nothing_out_is_refused_and_what_has_not_is_empty(ws):
    assert left_out.page(ws, "pseudo_labels", BROKEN, "", 0)["total"] == 0
    assert left_out.page(ws, "benchmark_data", "", "", 0)["rows"] == []
    with pytest.raises(UserError, match="no stage 'backbones' leaves anything out; choose from mask_index"):
        left_out.page(ws, "backbones", BROKEN, "", 0)
