"""Each stage trains what it says and nothing else, and learns the toy labels."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ml.objectives.bce_dice import bce_loss, dice_loss
from ml.training.data.batches import Examples
from ml.training.data.samples import TrainingData
from ml.training.engine.engine import World
from ml.training.main import make_task
from ml.training.tasks import TASKS, map_loss, mean_inside, present
from ml.workspace import Workspace
from ml.workspace.settings import load, preset

WORLD = World(0, 1, torch.device("cpu"))


@pytest.mark.parametrize("stage", TASKS)
def test_what_a_stage_trains_gets_gradients(workspace: Callable[..., Workspace], stage: str) -> None:
    ws = workspace()
    params = load(ws.params_file)
    task, side = make_task(stage, ws, params, WORLD)
    batch = Examples(TrainingData(ws), params.training, side, 0, True)[[(0, index) for index in range(6)]]
    loss, terms, measured = task(batch)
    loss.backward()
    learning = {name for name, p in task.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    trained = {name for name, _ in task.model.named_parameters() if name.partition(".")[0] in task.trains}
    untouched = {name for name in trained - learning if task.model.get_parameter(name).grad is None}
    assert not untouched, "ZeRO waits for the gradient of every parameter that it is told to train"
    assert learning <= trained
    assert len(learning) > 0.9 * len(trained)
    assert math.isfinite(float(loss))
    assert all(math.isfinite(float(term)) for term in terms.values())
    assert task.judged_by in measured
    assert all(0 <= float(total) <= float(count) for total, count in measured.values())


def test_a_batch_without_phrases_and_questions_trains_all_the_same(workspace: Callable[..., Workspace]) -> None:
    ws = workspace()
    params = load(ws.params_file)
    task, side = make_task("multimodal_finetuning", ws, params, WORLD)
    batch = Examples(TrainingData(ws), params.training, side, 0, True)[[(0, 0), (0, 1)]]
    for rows in (batch.phrases, batch.questions, batch.answers):
        for row in rows:
            row[:] = [""] * len(row)
    batch.phrase_regions.zero_()
    batch.evidence.fill_(-1)
    loss, _, _ = task(batch)
    loss.backward()
    assert math.isfinite(float(loss))
    assert all(p.grad is not None for p in task.parameters() if p.requires_grad)


@pytest.mark.parametrize("stage", TASKS)
def test_a_batch_of_what_is_absent_alone_trains_all_the_same(workspace: Callable[..., Workspace], stage: str) -> None:
    ws = workspace(training={"absent": 1.0})
    params = load(ws.params_file)
    task, side = make_task(stage, ws, params, WORLD)
    batch = Examples(TrainingData(ws), params.training, side, 0, True)[[(0, index) for index in range(6)]]
    assert (batch.targets < 0).all()
    loss, _, measured = task(batch)
    loss.backward()
    assert math.isfinite(float(loss))
    grads = [p.grad for p in task.parameters() if p.requires_grad]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
    assert all(0 <= float(total) <= float(count) for total, count in measured.values())


def test_the_model_sees_and_judges_crops_as_the_labels_did(workspace: Callable[..., Workspace]) -> None:
    seen = {"crop_margin": 0.4, "similarity_midpoint": 0.3, "similarity_scale": 0.07}
    ws = workspace(labels=seen)
    task, _ = make_task("mask_region_alignment", ws, load(ws.params_file), WORLD)
    assert {name: getattr(task.model.config, name) for name in seen} == seen
    similarity = task.model.similarity
    assert (similarity.midpoint, similarity.scale) == (0.3, 0.07)


def test_without_the_frozen_similarity_crops_teach_no_relevance(workspace: Callable[..., Workspace]) -> None:
    found = []
    for frozen_similarity in (True, False):
        ws = workspace(model={"frozen_similarity": frozen_similarity})
        params = load(ws.params_file)
        first, side = make_task("mask_region_alignment", ws, params, WORLD)
        task = TASKS["relevance_learning"](first.model, first.texts, None, params)
        batch = Examples(TrainingData(ws), params.training, side, 0, True)[[(0, 0), (0, 1)]]
        other = replace(batch, crops=batch.crops.flip(-1))
        found.append(float(task(batch)[0]) != float(task(other)[0]))
    assert found == [True, False]


def test_a_fixed_temperature_is_not_learned(workspace: Callable[..., Workspace]) -> None:
    ws = workspace(mask_region_alignment={"learn_temperature": False, "temperature": 0.1})
    task, _ = make_task("mask_region_alignment", ws, load(ws.params_file), WORLD)
    assert not task.model.logit_scale.requires_grad
    assert float(task.model.logit_scale.exp()) == pytest.approx(10)


def test_images_are_encoded_where_features_are_not_cached(workspace: Callable[..., Workspace]) -> None:
    ws = workspace(training={"cached_features": False})
    task, side = make_task("text_region_grounding", ws, load(ws.params_file), WORLD)
    params = load(ws.params_file).training.model_copy(update={"cached_features": True})
    batch = Examples(TrainingData(ws), params, side, 0, False)[[(0, 0), (0, 1)]]
    batch.pixels = torch.zeros(2, 4, side, side, dtype=torch.uint8)
    loss, _, _ = task(batch)
    loss.backward()
    assert all(p.grad is None for p in task.sam.model.parameters())


def test_the_overlap_of_a_map_counts_where_something_is_meant() -> None:
    logits, targets = torch.randn(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    targets[0, 0, :4] = 1
    asked = torch.tensor([[True, True, False]])
    batch = SimpleNamespace(targets=torch.tensor([[0, -1, -1]]))
    section = preset("smoke").text_region_grounding.model_copy(update={"bce_weight": 2.0, "dice_weight": 3.0})
    wanted = 2 * bce_loss(logits[:, :2], targets[:, :2]) + 3 * dice_loss(logits[:, :1], targets[:, :1])
    torch.testing.assert_close(map_loss(logits, targets, batch, asked, section), wanted)


def test_mean_inside() -> None:
    logits = torch.full((1, 1, 8, 8), -20.0)
    logits[..., :4, :] = 20.0
    coverage = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    assert mean_inside(logits, coverage)[0, 0].tolist() == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)


def test_present() -> None:
    assert present([["a", ""], ["", "b"]], torch.device("cpu")).tolist() == [[True, False], [False, True]]
