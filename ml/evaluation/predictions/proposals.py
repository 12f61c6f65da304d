"""Automatic masks of an image by the frozen SAM: a grid of points, each asked for three masks.

Follows segment_anything's SamAutomaticMaskGenerator, with changes that save most of its time and memory: of a dense
grid, only the points are asked at which the image differs from what has been asked already; masks are scored and
thinned out at the decoder's own resolution, and only what is kept is brought to the image's size. Near duplicates are
judged by the masks' IoU, not by their boxes', so that a part is not lost to its object.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.utils.amg import build_point_grid, calculate_stability_score
from torch import Tensor
from torch.nn import functional as F

from ml.evaluation.predictions.decoding import decode
from ml.masks import Frame, Masks
from ml.masks.edges import Edges
from ml.models.frozen.sam import Sam
from ml.params import Evaluation

RESIZED = 16  # masks brought to the image's size at a time
NEARNESS = 4.0  # weight of a point's place, in image sides, against its unit feature: plain ground is spread over


@dataclass(frozen=True)
class Proposals:
    """Masks of one image, best first, with SAM's own scores of them: float32 [n] each.

    `edges`: what brought them to the picture's edges.
    """

    masks: Masks
    predicted_ious: NDArray[np.float32]
    stability_scores: NDArray[np.float32]
    edges: Edges | None = None


@torch.no_grad()
def propose(sam: Sam, features: Tensor, image: NDArray[np.uint8], params: Evaluation) -> Proposals:
    """Masks of an RGB image `[H, W, 3]` from its features `[1, C, h, w]`; at most `max_proposals`.

    Masks below `params.predicted_iou` or `params.stability_score` are dropped, and those that overlap a better one by
    more than `params.duplicate_iou`.
    """
    size = (image.shape[0], image.shape[1])
    frame = Frame(None, False, sam.image_size).resized(size)
    points = prompts(features, frame, sam.image_size, params.points_per_side, params.max_points)
    found = [_sound(*batch, frame, sam, params) for batch in decode(sam, features, points, params.predicted_iou)]
    logits, ious, stability = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ious, descending=True, stable=True)
    kept = order[_distinct(logits[order] > 0, params.duplicate_iou, params.max_proposals)]
    given = params.edges
    edges = Edges(image, frame, sam.image_size // logits.shape[-1], given.radius, given.variance) if given else None
    if not len(kept):
        nothing = np.empty(0, np.float32)
        return Proposals(Masks.parse([], size), nothing, nothing, edges)
    masks = _fitted(logits[kept], edges) if edges else _to_image(logits[kept], frame, size, sam.image_size)
    solid = masks.areas() > 0
    sure, steady = (values[kept].cpu().numpy()[solid] for values in (ious, stability))
    return Proposals(masks.select(solid), sure, steady, edges)


def prompts(features: Tensor, frame: tuple[int, int], side: int, points_per_side: int, most: int) -> Tensor:
    """Points x, y in the frame, float32 `[P, 2]`: a grid over the image, or the `most` most different points of it.

    Greedy k-centres (Gonzalez, 1985) over the frozen features `[1, C, h, w]` and the place: on toytown, 100 points
    chosen so find what the whole grid of 256 finds.
    """
    grid = torch.from_numpy(build_point_grid(points_per_side)).float().to(features.device)
    points = grid * torch.tensor(frame[::-1]).to(features.device)
    if len(points) <= most:
        return points
    sampled = F.grid_sample(features, (points / side * 2 - 1)[None, None], align_corners=False)[0, :, 0].T
    described = torch.cat([F.normalize(sampled - sampled.mean(0), dim=1), NEARNESS * grid], dim=1)
    chosen = [int(described.sub(described.mean(0)).square().sum(1).argmin())]
    distances = torch.full((len(points),), torch.inf, device=features.device)
    while len(chosen) < most:
        distances = torch.minimum(distances, (described - described[chosen[-1]]).square().sum(1))
        chosen.append(int(distances.argmax()))
    return points[chosen]


def _sound(
    logits: Tensor, ious: Tensor, frame: tuple[int, int], sam: Sam, params: Evaluation
) -> tuple[Tensor, Tensor, Tensor]:
    """The masks `[M, S/4, S/4]` that are stable over the image, with predicted IoU and stability `[M]`."""
    scale = logits.shape[-1] / sam.image_size
    height, width = (max(1, round(side * scale)) for side in frame)
    inside = logits[:, :height, :width]
    stability = calculate_stability_score(inside, sam.model.mask_threshold, 1.0).nan_to_num()
    stable = stability >= params.stability_score
    return logits[stable], ious[stable], stability[stable]


def _distinct(masks: Tensor, limit: float, most: int) -> list[int]:
    """Indices of masks bool `[M, h, w]`, best first, that overlap no earlier kept one by an IoU above `limit`."""
    flat = masks.flatten(1).float()
    areas = flat.sum(1)
    common = flat @ flat.T
    iou = (common / (areas[:, None] + areas[None] - common).clamp_min(1)).cpu().numpy()
    kept: list[int] = []
    for i in np.flatnonzero(areas.cpu().numpy()):
        if len(kept) == most:
            break
        if not (iou[i, kept] > limit).any():
            kept.append(int(i))
    return kept


def _fitted(logits: Tensor, edges: Edges) -> Masks:
    """Low-resolution logits `[M, S/4, S/4]` as masks of the image, brought to its edges."""
    chunks = (torch.sigmoid(chunk).cpu().numpy() for chunk in logits.split(RESIZED))
    dense = (np.stack([edges.fit(each) for each in chunk]) for chunk in chunks)
    return Masks.concatenate([Masks.from_dense(chunk) for chunk in dense], edges.size)


def _to_image(logits: Tensor, frame: tuple[int, int], size: tuple[int, int], side: int) -> Masks:
    """Low-resolution logits `[M, S/4, S/4]` as masks of the image's size.

    A few at a time: 300 masks of a photo of 12 megapixels are 14 GB of logits.
    """
    chunks = [Masks.from_dense(_resized(chunk, frame, size, side)) for chunk in logits.split(RESIZED)]
    return Masks.concatenate(chunks, size)


def _resized(logits: Tensor, frame: tuple[int, int], size: tuple[int, int], side: int) -> NDArray[np.bool_]:
    """Low-resolution logits `[M, S/4, S/4]` as masks bool `[M, H, W]`, resized as SAM does: frame, crop, image."""
    framed = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    cropped = framed[..., : frame[0], : frame[1]]
    if size != frame:
        cropped = F.interpolate(cropped, size, mode="bilinear", align_corners=False)
    return (cropped[:, 0] > 0).cpu().numpy()
