"""Pretraining of toytown's SAM: masks of three levels from one point, and region words from pooled features.

A point names up to three nested masks, so the three multimask outputs stand for part, object and group or scene,
each falling back on the next level where the point has none; the single-mask output learns the object. The words
make colour and kind linearly readable in the frozen features, which class-agnostic masks alone do not ask for.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from segment_anything.modeling import Sam as SegmentAnything
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from ml.models.frozen.sam import SamConfig, build_sam
from ml.toytown.pretraining.data import GRID, LOW, Pick, Scenes

CONFIG = SamConfig("tiny", image_size=256, width=192, depth=4, heads=6, channels=96)
LR, MUON_LR, WEIGHT_DECAY, WARMUP = 1e-3, 4e-3, 0.05, 60
GAIN = 2.5  # on the decoder's cross-attention at the start
IMAGES, POINTS = {False: 8, True: 5}, 8  # a step, before and after the first prompt; prompts an image
WHITENED, GRAIN = 150, 0.05  # images; variance that counts as noise, in SAM's normalised pixels
OUTPUTS = (1.0, 0.5, 1.5, 0.5)  # weights: the single mask, then part, object, group or scene
ALONE = 0.07  # of the steps come before the first prompt: a decoder learns little from what sees nothing


class Reader(nn.Module):
    """The head that is thrown away: linear reads of the features, so that what they tell is easy to find."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = words
        self.region = nn.Linear(CONFIG.channels, words)
        self.dense = nn.Conv2d(CONFIG.channels, (words + 4) * (LOW // GRID) ** 2, 1)

    def losses(self, features: Tensor, picks: Sequence[Pick]) -> dict[str, Tensor]:
        """`words` of pooled regions (BCE), `map` of words at 64 x 64 (BCE), `place` of the object (L1)."""
        pooled = torch.cat([pool(f, pick.coverage) for f, pick in zip(features, picks, strict=True)])
        named = torch.cat([pick.words for pick in picks])
        with torch.autocast("cpu", torch.bfloat16):
            fine = F.pixel_shuffle(self.dense(features), LOW // GRID).float()
        maps, where = fine[:, : self.words], fine[:, self.words :]
        shown, places = (torch.stack([getattr(pick, name) for pick in picks]) for name in ("word_map", "place_map"))
        on_object = torch.stack([pick.on_object for pick in picks])[:, None].expand_as(where)
        return {
            "words": F.binary_cross_entropy_with_logits(self.region(pooled), named) * self.words / 4,
            "map": F.binary_cross_entropy_with_logits(maps, shown) * self.words / 2,
            "place": 2 * F.l1_loss(where[on_object], places[on_object]),
        }


def pretrain_sam(scenes: Scenes, seed: int, steps: int, log: Callable[[str], None]) -> SegmentAnything:
    """Train the tiny SAM from scratch, first the encoder alone, then with prompts. The reader is thrown away."""
    torch.manual_seed(seed)
    sam = initial_sam()
    whiten(sam, scenes.images(WHITENED))
    reader, draw = Reader(len(scenes.words)), torch.Generator().manual_seed(seed)
    alone = round(ALONE * steps)
    _train(sam, reader, scenes, draw, alone, False, log)
    _train(sam, reader, scenes, draw, steps - alone, True, log)
    return sam


def _train(
    sam: SegmentAnything,
    reader: Reader,
    scenes: Scenes,
    draw: torch.Generator,
    steps: int,
    prompted: bool,
    log: Callable[[str], None],
) -> None:
    optimizers = _optimizers(sam, reader)
    factor = partial(warmup_cosine, steps=steps, warmup=WARMUP)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]
    for step in range(steps):
        losses = step_losses(sam, reader, scenes, draw, prompted)
        torch.stack([*losses.values()]).sum().backward()
        nn.utils.clip_grad_norm_([*sam.parameters(), *reader.parameters()], 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % 25 == 0 or step == steps - 1:
            name = "prompts" if prompted else "features"
            log(f"sam {name} step {step} " + " ".join(f"{key} {loss.item():.4f}" for key, loss in losses.items()))


def _optimizers(sam: SegmentAnything, reader: Reader) -> list[torch.optim.Optimizer]:
    """Muon (Jordan, 2024) for the matrices of the transformers, a fifth fewer steps than AdamW; AdamW for the rest."""
    transformers = [*sam.image_encoder.blocks.parameters(), *sam.mask_decoder.transformer.parameters()]
    matrices = [parameter for parameter in transformers if parameter.ndim == 2]
    known = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in [*sam.parameters(), *reader.parameters()] if id(parameter) not in known]
    muon = torch.optim.Muon(matrices, MUON_LR, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, LR, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)]


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """The factor on the learning rate: linear up, then a half cosine down to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def initial_sam() -> SegmentAnything:
    """An untrained tiny SAM whose encoder and decoder know where things are, which they are slow to find out.

    The position embedding starts as sines, not at zero. Queries and keys of the decoder's cross-attention start as one
    projection, so that a point attends to the cells around it: its positional code is most like theirs.
    """
    sam = build_sam(CONFIG)
    embedding = sam.image_encoder.pos_embed
    _, grid, _, width = embedding.shape
    frequencies = torch.exp(torch.linspace(0, -math.log(100.0), width // 4))
    angles = torch.arange(grid)[:, None] * frequencies * math.pi / 2
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows, columns = waves[:, None].expand(-1, grid, -1), waves[None].expand(grid, -1, -1)
    embedding.data = 0.2 * torch.cat([rows, columns], -1)[None]
    for name, module in sam.mask_decoder.transformer.named_modules():
        if isinstance(module, Attention) and "self" not in name:
            module.q_proj.weight.data *= GAIN
            module.k_proj.load_state_dict(module.q_proj.state_dict())
    return sam


def whiten(sam: SegmentAnything, images: Tensor) -> None:
    """Start the patch embedding at the whitened principal components of the patches of `[B, 3, 256, 256]` images.

    Drawn at random it would see little beside each patch's mean colour.
    """
    conv = sam.image_encoder.patch_embed.proj
    pixels = (images.float() - sam.pixel_mean) / sam.pixel_std
    patches = F.unfold(pixels, conv.kernel_size, stride=conv.stride).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    variances, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    scales = 0.5 / (variances[-conv.out_channels :] + GRAIN).sqrt()
    weight = (directions[:, -conv.out_channels :] * scales).T
    conv.weight.data = weight.reshape(conv.weight.shape).contiguous()
    conv.bias.data = -(weight @ mean)


def step_losses(
    sam: SegmentAnything, reader: Reader, scenes: Scenes, draw: torch.Generator, prompted: bool
) -> dict[str, Tensor]:
    """Losses of one random batch: the reader's and, if `prompted`, `mask` (dice + BCE) and `iou` (squared error)."""
    images, picks = scenes.batch(IMAGES[prompted], POINTS, draw)
    with torch.autocast("cpu", torch.bfloat16):
        features = sam.image_encoder((images.float() - sam.pixel_mean) / sam.pixel_std)
    losses = reader.losses(features.float(), picks)
    if not prompted:
        return losses
    logits, ious = decode(sam, features, torch.stack([pick.points for pick in picks]))
    mask, true_iou = mask_losses(logits.float(), torch.cat([pick.targets for pick in picks]))
    return losses | {"mask": mask, "iou": F.mse_loss(ious.float(), true_iou)}


def decode(sam: SegmentAnything, features: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """`MaskDecoder.predict_masks` for the points of many images at once.

    Args:
        features: `[B, C, h, w]`.
        points: `[B, P, 2]`, x and y in pixels, each a prompt of its own.

    Returns:
        Masks `[B P, 4, 64, 64]` (logits; the single one, then three) and predicted IoUs `[B P, 4]`.
    """
    decoder, each = sam.mask_decoder, points.shape[1]
    prompts = points.flatten(0, 1)[:, None], torch.ones(points.shape[0] * each, 1)
    sparse, dense = sam.prompt_encoder(points=prompts, boxes=None, masks=None)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], 1)
    image = features.repeat_interleave(each, 0) + dense
    position = sam.prompt_encoder.get_dense_pe().expand(len(sparse), -1, -1, -1)
    with torch.autocast("cpu", torch.bfloat16):
        answers, image_out = decoder.transformer(image, position, tokens)
        upscaled = decoder.output_upscaling(image_out.transpose(1, 2).reshape(image.shape))
        heads = enumerate(decoder.output_hypernetworks_mlps, 1)
        weights = torch.stack([head(answers[:, i]) for i, head in heads], 1)
    masks = (weights.float() @ upscaled.float().flatten(2)).unflatten(2, upscaled.shape[-2:])
    return masks, decoder.iou_prediction_head(answers[:, 0].float())


def mask_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Dice + BCE against soft targets `[P, 4, 64, 64]`, and the IoU `[P, 4]` that each mask has."""
    probability = logits.sigmoid()
    overlap = (probability * targets).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-1, -2)) + targets.sum((-1, -2)) + 1)
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum((-1, -2))
    bce = bce / (targets.sum((-1, -2)) + 64)  # by area: else the ground, 50 times a ball, is all that is learned
    with torch.no_grad():
        found, wanted = logits > 0, targets > 0.5
        iou = (found & wanted).sum((-1, -2)) / (found | wanted).sum((-1, -2)).clamp(min=1)
    return ((dice + bce) * torch.tensor(OUTPUTS)).mean(), iou


def pool(features: Tensor, coverage: Tensor) -> Tensor:
    """Average features `[C, h, w]` under each region's coverage `[N, h, w]`: `[N, C]`."""
    weights = coverage / coverage.sum((-1, -2), keepdim=True).clamp(min=1e-6)
    return torch.einsum("chw,nhw->nc", features, weights)
