"""Params are checked before anything runs, and every complaint can be acted on."""

from pathlib import Path

import pytest
import yaml

from ml.errors import UserError
from ml.workspace.settings import PRESETS, load, preset, validate

ROOT = Path(__file__).parents[2]


def raw() -> dict:
    return yaml.safe_load((PRESETS / "toytown.yaml").read_text())


def test_a_clone_holds_the_toytown_preset():
    assert (ROOT / "params.yaml").read_bytes() == (PRESETS / "toytown.yaml").read_bytes()


@pytest.mark.parametrize("name", ["toytown", "smoke", "sa1b"])
def test_presets_are_valid(name):
    assert preset(name).seed == 0


def test_sa1b_is_the_documented_configuration():
    params = preset("sa1b")
    assert params.backbones.sam.model_type == "vit_h"
    assert params.backbones.clip.model_name == "ViT-L-14"
    assert params.model.dim == 768
    assert (params.training.processes, params.training.zero_stage, params.training.precision) == (
        8,
        2,
        "bf16",
    )
    assert (params.training.batch_size, params.training.weight_decay) == (4, 0.01)
    assert params.mask_region_alignment.lr == 1e-4
    assert params.filter.max_masks_per_image == 20


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("filter.predicted_iuo", 0.9, ["filter.predicted_iuo", "unknown key", "predicted_iou"]),
        ("filter.max_masks_per_image", "many", ["filter.max_masks_per_image", "'many'", "integer"]),
        ("training.zero_stage", 5, ["training.zero_stage", "5", "0, 1, 2 or 3"]),
        ("filter.containment", 1.5, ["filter.containment", "1.5", "less than or equal to 1"]),
        ("shards.group_size", 100, ["shards.group_size", "100", "99"]),
        ("multimodal_finetuning.loss_weights.vqa", -1.0, ["multimodal_finetuning.loss_weights.vqa", "-1.0"]),
    ],
)
def test_a_bad_value_is_named_with_its_path_and_what_is_allowed(path, value, words):
    values = raw()
    *sections, last = path.split(".")
    target = values
    for section in sections:
        target = target[section]
    target[last] = value
    with pytest.raises(UserError) as error:
        validate(values, "params.yaml")
    assert all(word in str(error.value) for word in ["params.yaml", *words])
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_key_is_named():
    values = raw()
    del values["model"]["heads"]
    with pytest.raises(UserError, match=r"model\.heads: missing"):
        validate(values, "params.yaml")


@pytest.mark.parametrize("text", ["a: [1", "\x00"])
def test_a_file_that_is_not_yaml_is_one_line(tmp_path, text):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="not readable as YAML"):
        load(file)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UserError, match="sa1b, smoke, toytown"):
        preset("big")
