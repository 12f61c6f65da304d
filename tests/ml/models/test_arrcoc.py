import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim

from ml.errors import UserError
from ml.models.arrcoc import ARRCOC, ModelConfig


def test_saved_and_loaded_it_answers_the_same(model: ARRCOC, inputs, tmp_path: Path) -> None:
    model.save(tmp_path / "stage")
    again = ARRCOC.load(tmp_path / "stage").eval()
    assert again.config == model.config
    for ours, theirs in zip(model(*inputs.tensors()), again(*inputs.tensors()), strict=True):
        assert torch.equal(ours, theirs)


def test_saving_twice_gives_the_same_bytes(model: ARRCOC, tmp_path: Path) -> None:
    for name in ("a", "b"):
        model.save(tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_of_another_size_are_refused(model: ARRCOC, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(replace(model.config, dim=64).to_json())
    with pytest.raises(UserError, match=r"model\.safetensors: weights of another model"):
        ARRCOC.load(tmp_path / "m")


@pytest.mark.parametrize("key", ["dim", "another"])
def test_a_config_of_another_version_is_refused(model: ARRCOC, tmp_path: Path, key: str) -> None:
    model.save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    raw = json.loads(path.read_text())
    raw = {name: value for name, value in raw.items() if name != key} | ({} if key in raw else {key: 1})
    path.write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"config\.json: config of another version"):
        ARRCOC.load(tmp_path / "m")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        ARRCOC.load(tmp_path / "nowhere")


def test_region_embeddings_are_unit_vectors(model: ARRCOC, inputs) -> None:
    embeddings = model.region_embeddings(inputs.regions(model).features)
    assert embeddings.shape == (2, 6, model.config.embed_dim)
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(2, 6))


def test_the_temperature_starts_where_the_config_says(config: ModelConfig) -> None:
    assert ARRCOC(replace(config, temperature=0.2)).logit_scale.exp().item() == pytest.approx(5)


def test_answers_read_where_the_question_points(model: ARRCOC, inputs) -> None:
    grid = model.adapt(inputs.features)
    logits = torch.full((2, 3, 32, 32), -30.0)
    logits[:, :, 8:12, 20:24] = 30.0
    torch.testing.assert_close(model.pointed_at(grid, logits)[1, 2], grid[1, :, 2, 5], atol=1e-4, rtol=1e-4)
    memory, mask, counts = model.answer_memory(grid, inputs.regions(model), inputs.text, logits)
    assert memory.shape == (6, 1 + 6 + 5, 32) and counts.shape == (2, 3)
    assert mask.sum(1).tolist() == (1 + inputs.valid.sum(1, keepdim=True) + inputs.text_mask.sum(2)).flatten().tolist()


def test_generated_ids_fit_the_context(model: ARRCOC, inputs) -> None:
    ids = model.generate(model.image_memory(model.adapt(inputs.features)), max_len=99)
    assert ids.shape[0] == 2 and ids.shape[1] <= model.config.context_length
    assert (ids[:, 0] == model.config.start_id).all()


def test_dropout_acts_in_training_alone(build: Callable[[ModelConfig], ARRCOC], config: ModelConfig, inputs) -> None:
    model = build(replace(config, dropout=0.5)).train()
    assert not torch.equal(model(*inputs.tensors())[0], model(*inputs.tensors())[0])
    model.eval()
    assert torch.equal(model(*inputs.tensors())[0], model(*inputs.tensors())[0])


def test_half_precision_runs(model: ARRCOC, inputs) -> None:
    halved = [t.bfloat16() if t.is_floating_point() else t for t in inputs.tensors()]
    relevance, grounding = model.bfloat16()(*halved)
    assert (relevance.dtype, grounding.dtype) == (torch.float32, torch.bfloat16)  # a product of two probabilities
    assert torch.isfinite(relevance).all() and torch.isfinite(grounding).all()


@pytest.mark.filterwarnings("ignore")
def test_exported_it_answers_the_same_for_other_sizes(model: ARRCOC, inputs, tmp_path: Path) -> None:
    names = [*vars(inputs)]
    regions, queries = Dim("regions"), Dim("queries")
    axes = [{}, *[{1: regions}] * 4, *[{1: queries}] * 4]
    one = [t[:1] for t in inputs.tensors()]
    program = torch.onnx.export(
        model,
        tuple(one),
        input_names=names,
        output_names=["relevance", "grounding"],
        dynamic_shapes=tuple(axes),
        opset_version=18,
        dynamo=True,
        verbose=False,
        optimize=False,
    )
    program.save(str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    fewer = [one[0], *(t[:, :4] for t in one[1:5]), *(t[:, :2] for t in one[5:])]
    for tensors in (one, fewer):
        found = session.run(None, {name: t.numpy() for name, t in zip(names, tensors, strict=True)})
        with torch.no_grad():
            wanted = model(*tensors)
        for ours, theirs in zip(wanted, found, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4)
