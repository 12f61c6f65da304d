"""The numbers of the official code at real size, from the same checkpoints: each test states how near."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from checkpoints import CLIP, COCA, SAM, random_clip, random_sam
from PIL import Image
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

from ml.bench.files import Pair
from ml.evaluation.predictions.proposals import propose
from ml.models.frozen.backbones import load_backbones_stage
from ml.models.frozen.clip import load_captioner, load_clip
from ml.models.frozen.sam import Sam, load_sam, normalized
from ml.params import Backbones
from ml.sa1b.reading.reader import decode
from ml.workspace.settings import preset

pytestmark = pytest.mark.real

TEXTS = ["a red car", "the man left of the dog, in a blue shirt", "a photo of two people on a bench " * 9]
WORDS = 20  # of a caption that is compared
EVERY_MASK = {"predicted_iou": -1e9, "stability_score": 0.0, "duplicate_iou": 1.0, "max_proposals": 1000}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    random_sam(folder / "sam.pth")
    random_clip(folder / "clip.pt")
    random_clip(folder / "coca.safetensors", COCA)
    return folder


@pytest.fixture(scope="module")
def backbones(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage makes of the checkpoints."""
    folder = tmp_path_factory.mktemp("stage") / "backbones"
    sam = {"model_type": SAM, "checkpoint": "sam.pth", "sha256": None}
    clip = {"model_name": CLIP, "pretrained": "clip.pt", "sha256": None, "captioner_name": COCA}
    clip |= {"captioner_pretrained": "coca.safetensors", "captioner_sha256": None}
    load_backbones_stage(Backbones(sam=sam, clip=clip), weights, folder)
    return folder


@pytest.fixture(scope="module")
def image(pair: Pair) -> np.ndarray:
    return decode(pair.jpeg)


@pytest.fixture(scope="module")
def predictor(weights: Path, image: np.ndarray) -> SamPredictor:
    """segment_anything's own, which has seen the image."""
    found = SamPredictor(sam_model_registry[SAM](checkpoint=str(weights / "sam.pth")).eval())
    found.set_image(image)
    return found


@pytest.fixture(scope="module")
def features(backbones: Path, image: np.ndarray) -> tuple[Sam, torch.Tensor]:
    sam = load_sam(backbones)
    return sam, sam.encode(torch.from_numpy(sam.to_frame(image))[None])


def test_sam_embeds_as_its_predictor_does(features: tuple[Sam, torch.Tensor], predictor: SamPredictor) -> None:
    """To 1e-4 of features with a standard deviation of 1."""
    torch.testing.assert_close(features[1], predictor.get_image_embedding(), rtol=1e-4, atol=1e-4)


def test_bfloat16_costs_little(features: tuple[Sam, torch.Tensor], image: np.ndarray) -> None:
    """What a GPU computes, on a processor: error in standard deviations of the features."""
    sam, exact = features
    frame = torch.from_numpy(sam.to_frame(image))[None]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = sam.model.image_encoder(normalized(frame, sam.model.pixel_mean, sam.model.pixel_std)).float()
    error = ((rough - exact).square().mean().sqrt() / exact.std()).item()
    print(f"bf16: {error:.4f} of a standard deviation")
    assert error < 0.05


def test_masks_are_those_of_the_automatic_generator(
    features: tuple[Sam, torch.Tensor], predictor: SamPredictor, image: np.ndarray
) -> None:
    sam, embedding = features
    evaluation = preset("sa1b").evaluation.model_copy(update={**EVERY_MASK, "points_per_side": 2})
    ours = propose(sam, embedding, image, evaluation)
    library = SamAutomaticMaskGenerator(
        predictor.model, points_per_side=2, pred_iou_thresh=-1e9, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    theirs = [mask for mask in library.generate(image) if mask["area"]]
    dense = [ours.masks.dense(i) for i in range(len(ours.masks))]
    assert len(theirs) >= len(dense) > 0
    for mask in theirs:
        other = mask["segmentation"]
        assert max((mine & other).sum() / (mine | other).sum() for mine in dense) > 0.99


def test_clip_sees_and_reads_as_open_clip_does(backbones: Path, weights: Path, image: np.ndarray) -> None:
    """Texts to 1e-5; an image on the same pixels to 1e-5, and from its own resizing, a level of 255 away, to 1e-3."""
    clip = load_clip(backbones)
    theirs, _, transform = open_clip.create_model_and_transforms(CLIP, str(weights / "clip.pt"))
    tokenizer = open_clip.get_tokenizer(CLIP)
    theirs.eval()
    with torch.no_grad():
        texts = theirs.encode_text(tokenizer(TEXTS), normalize=True)
        pixels = transform(Image.fromarray(image))[None]
        seen = theirs.encode_image(pixels, normalize=True)
    torch.testing.assert_close(clip.encode_text(clip.tokenize(TEXTS)).pooled, texts, rtol=0, atol=1e-5)
    whole = torch.from_numpy(clip.eye.whole(image).transpose(2, 0, 1).copy())[None]
    assert (clip.normalize(whole) - pixels).abs().max() < 1.1 / 255 / 0.26
    torch.testing.assert_close(clip.encode_image(whole), seen, rtol=0, atol=1e-3)
    same = ((pixels * clip.std / 255 + clip.mean / 255) * 255).round().to(torch.uint8)
    torch.testing.assert_close(clip.encode_image(same), seen, rtol=0, atol=1e-5)


def test_coca_captions_as_generate_does(backbones: Path, weights: Path, image: np.ndarray) -> None:
    """The words that `CoCa.generate` finds with top_k 1, which are these: its model is asked for each anew."""
    captioner = load_captioner(backbones)
    theirs = open_clip.create_model(COCA, str(weights / "coca.safetensors")).eval()
    whole = torch.from_numpy(captioner.eye.whole(image).transpose(2, 0, 1).copy())[None]
    ids = torch.tensor([[captioner.start_id]])
    with torch.no_grad():
        latent, tokens = theirs._encode_image(captioner.normalize(whole))
        for _ in range(WORDS):
            said = theirs(None, ids, image_latent=latent, image_embs=tokens, output_labels=False)
            ids = torch.cat([ids, said["logits"][:, -1:].argmax(-1)], dim=1)
    assert captioner.caption(whole)[0].startswith(captioner.detokenize(ids[0])) and len(set(ids[0].tolist())) > 2
