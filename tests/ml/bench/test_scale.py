"""The plan is arithmetic on named figures: it follows them, and refuses figures without a source."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.bench.scale import flops
from ml.bench.scale.plan import INPUTS, Fleet, Work, from_workspace, line, plan, read_inputs, scale
from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace
from ml.workspace.settings import preset

GIVEN = {name: float(entry["value"]) for name, entry in yaml.safe_load(INPUTS.read_text()).items()}
NODE = Fleet("one node", 1, 8, 16, 16)


def test_hours_follow_from_rates():
    work = [
        Work("sa1b_shards", 9e12, 1e6, link=True),
        Work("mask_index", 0, 3.6e6, core_seconds=0.016),
        Work("image_features", 1e12, 3.6e6, core_seconds=0.004, gpu_seconds=0.02),
        Work("relevance_learning", 0, 3.6e6, core_seconds=0.0096, gpu_seconds=0.008),
    ]
    given = GIVEN | {"link_gbit": 10, "images": 1e6, "node_cores": 96, "node_usd": 30, "goal": 1e6, "node_bytes": 1e13}
    found = plan(NODE, work, given)
    assert found["hours"] == {"sa1b_shards": 2.0, "mask_index": 1.0, "image_features": 2.5, "relevance_learning": 1.0}
    assert (found["data_hours"], found["training_hours"], found["usd"]) == (5.5, 1.0, 195)
    assert found["samples_a_day"] == round(24e6 / 5.5) and found["times_the_goal"] == 4.36
    assert found["fits_its_disks"]


def test_a_task_cuts_while_its_models_are_busy():
    work, given = [Work("pseudo_labels", 0, 3.6e6, core_seconds=0.05, gpu_seconds=0.03)], GIVEN | {"images": 3.6e6}
    one_a_gpu, two_a_gpu = (plan(Fleet("", 1, 8, 96, tasks), work, given)["data_hours"] for tasks in (8, 16))
    assert (one_a_gpu, two_a_gpu) == (6.2, 3.8)  # a core takes longer than the GPU, two cores less


MEASURED = {
    **dict.fromkeys(("masks", "kept_masks", "index_bytes", "kept_bytes", "label_bytes"), 10.0),
    **dict.fromkeys(("index_seconds", "filter_seconds", "frame_seconds", "crops_seconds", "card_seconds"), 1.0),
    "sam_flops": 6e12,
    "labels_flops": 10e12,
    "head_flops": 1e12,
    "gpu_flops": 4e13,
}


def test_each_stage_that_grows_with_the_data_is_there_with_its_bytes():
    work = {one.stage: one for one in line(preset("sa1b"), GIVEN, MEASURED)}
    assert work["sa1b_shards"].bytes == 1e13
    assert work["mask_index"].bytes == pytest.approx(GIVEN["masks"] * 1.0)  # measured on 10 masks in 10 bytes
    assert work["image_features"].bytes == work["image_features"].gpu_seconds == 0  # training encodes the images
    assert work["pseudo_labels"].gpu_seconds == pytest.approx(0.25)
    assert work["multimodal_finetuning"].images == 200_000 * 4 * 8
    assert work["multimodal_finetuning"].gpu_seconds == pytest.approx(0.175)


def test_cached_features_cost_bytes_and_save_the_encoder():
    params = preset("sa1b")
    cached = params.model_copy(update={"training": params.training.model_copy(update={"cached_features": True})})
    work = {one.stage: one for one in line(cached, GIVEN, MEASURED)}
    assert work["image_features"].bytes == GIVEN["images"] * 2 * 256 * 64 * 64 * 2
    assert work["image_features"].gpu_seconds == pytest.approx(2 * 0.15)
    assert work["multimodal_finetuning"].gpu_seconds == pytest.approx(0.025)


def test_inputs_need_a_source_and_none_is_missing(tmp_path: Path):
    raw = yaml.safe_load(INPUTS.read_text())
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(raw | {"node_usd": {"value": 20, "unit": "USD an hour", "source": "our contract"}}))
    assert read_inputs(file)["node_usd"]["value"] == 20
    for broken, words in (
        (raw | {"goal": {"value": 1, "unit": "x"}}, "goal: found"),
        (raw | {"goal": {"value": "many", "source": "x"}}, "goal: found"),
        ({name: entry for name, entry in raw.items() if name != "goal"}, "goal: missing or unknown"),
        ([1], "a table of keys and values is wanted"),
    ):
        file.write_text(yaml.safe_dump(broken))
        with pytest.raises(UserError, match=words):
            read_inputs(file)


def test_without_a_finished_workspace_it_says_what_to_run(tmp_path: Path):
    with pytest.raises(UserError, match=r"no labels to measure on; run arrcoc run first"):
        from_workspace(Workspace(tmp_path))


def test_operations_are_those_of_the_layers_sizes():
    """ViT-L-14's image tower by hand: products of matrices, two operations a multiplication."""
    import open_clip
    import torch

    from ml.models.frozen.architecture import build_clip

    tokens, width, layers = 257, 1024, 24
    layer = 12 * tokens * width**2 + 2 * tokens**2 * width  # qkv, projection, MLP; scores, weighted sum
    by_hand = 2 * (layers * layer + (tokens - 1) * 3 * 14**2 * width + width * 768)
    with torch.device("meta"):
        clip: Any = build_clip(open_clip.get_model_config("ViT-L-14"))
        found = flops.counted(lambda: clip.visual(torch.empty(1, 3, 224, 224)))
    assert found == pytest.approx(by_hand, rel=1e-6)


def test_the_models_that_params_name_are_counted():
    found, smaller = (flops.count(named, 3) for named in (preset("sa1b"), with_models("vit_b", "ViT-B-32")))
    assert found.sam == pytest.approx(5.96e12, rel=1e-2)
    assert all(0 < getattr(smaller, name) < getattr(found, name) for name in ("sam", "labels", "head"))


def with_models(sam: str, clip: str) -> Params:
    """Preset sa1b with other models."""
    params = preset("sa1b")
    names = params.backbones.clip.model_copy(update={"model_name": clip, "captioner_name": "coca_ViT-B-32"})
    kind = params.backbones.sam.model_copy(update={"model_type": sam})
    return params.model_copy(update={"backbones": params.backbones.model_copy(update={"sam": kind, "clip": names})})


@pytest.mark.slow
def test_the_whole_plan(finished):
    found = scale(Workspace(finished.root))
    assert {"machine", "inputs", "measured", "recorded", "stages", "plans"} == set(found)
    assert [row["stage"] for row in found["stages"]] == list(found["plans"][0]["hours"])
    assert all(value > 0 for value in found["measured"].values())
    assert found["plans"][1]["data_hours"] < found["plans"][0]["data_hours"]
