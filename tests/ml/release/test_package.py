"""A package is what an answer needs and no more, and answers as the variant that it was made of."""

import json
from pathlib import Path

import pytest

from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam
from ml.release import package as package_module
from ml.release.export import GRAPHS
from ml.release.mask_decoder import CONFIG as DECODER
from ml.release.mask_decoder import WEIGHTS as DECODER_WEIGHTS
from ml.release.package import CONFIG, answer, load_package, write_package
from ml.release.runtime import OnnxHeads, onnx_sam
from ml.toytown.pretraining.pretrain import WEIGHTS
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from ml.workspace.settings import preset


@pytest.fixture
def folder(variants: Path, tmp_path: Path) -> Path:
    write_package(WEIGHTS, variants / "int8", preset("toytown"), tmp_path / "package")
    return tmp_path / "package"


def test_it_holds_no_image_encoder_but_the_graph(folder: Path) -> None:
    merges = json.loads((WEIGHTS / "clip.json").read_text())["merges"]
    assert {path.name for path in folder.iterdir()} == {*GRAPHS, DECODER, DECODER_WEIGHTS, "clip.json", merges, CONFIG}
    assert (folder / DECODER_WEIGHTS).stat().st_size < 0.4 * 2 * (WEIGHTS / "sam.safetensors").stat().st_size


def test_it_answers_as_the_whole_sam_and_clip_do(folder: Path, variants: Path, sam: Sam, clip: Clip) -> None:
    image = draw(scene(0, 0, "tests")).image
    package = load_package(folder)
    found = answer(package, image, "the house")
    package.predictor.sam = onnx_sam(sam, variants / "int8")
    package.predictor.heads = OnnxHeads.load(variants / "int8", clip.tokenize)
    assert found == answer(package, image, "the house") and found["masks"]


def test_a_graph_that_is_missing_in_the_variant_is_no_package(variants: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_package(WEIGHTS, tmp_path / "none", preset("toytown"), tmp_path / "package")
    assert not (tmp_path / "package" / package_module.CONFIG).exists()
