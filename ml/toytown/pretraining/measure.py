"""How good the backbones are, on scenes of the pretraining split that they were not trained on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from torch import Tensor

from ml.labeling.geometry.crops import masked_crops
from ml.masks import Frame, Masks
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam
from ml.sa1b.reading.padding import to_frame
from ml.toytown.pretraining.data import SPLIT, compressed, region_nodes
from ml.toytown.pretraining.text import Concept, concept, fits
from ml.toytown.world.draw import draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.language import caption
from ml.toytown.world.scene import HELD_OUT, Node, random_for, scene

HELD_BACK = 1_000_000  # the first index that is never trained on
SMALL, LARGE = 600, 2500  # pixels: below, between, above
MARGIN = 0.25
RIDGE = 1e-3
THRESHOLDS = {"points_per_side": 16, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.6, "box_nms_thresh": 0.8}


@dataclass(frozen=True)
class Seen:
    """A held-back scene: JPEG pixels `[H, W, 3]`, its visible nodes, their masks, captions and concepts."""

    image: NDArray[np.uint8]
    nodes: list[Node]
    masks: Masks
    captions: list[str]
    concepts: list[Concept]


def held_back(seed: int, count: int, first: int = HELD_BACK, holdout: bool = False) -> list[Seen]:
    """Scenes of the pretraining split that `pretrain` never renders; with `holdout` each has a held-out combination."""
    return [_see(seed, index, holdout) for index in range(first, first + count)]


def measure(
    sam: Sam, clip: Clip, seen: Sequence[Seen], taught: Sequence[Seen], unheard: Sequence[Seen]
) -> dict[str, dict[str, float]]:
    """All measures on the scenes `seen`, those of held-out combinations on `unheard`.

    The linear readers of the features learn from the scenes `taught`.
    """
    cosines = measure_similarity(clip, seen)
    return {
        "masks": measure_masks(sam, seen, **THRESHOLDS),
        "features": measure_features(sam, taught, seen),
        "captions": measure_captions(clip, seen),
        "unheard": {"kind": measure_unheard(clip, unheard)},
        **{f"cosine_{name}": _quantiles(values) for name, values in cosines.items()},
    }


def measure_masks(sam: Sam, seen: Sequence[Seen], **thresholds: Any) -> dict[str, float]:
    """Automatic masks against the true object masks.

    Returns:
        `best_iou` (mean over objects), `recall` at IoU 0.5 (also small, medium, large), `masks` and `seconds` an image.
    """
    generator = SamAutomaticMaskGenerator(sam.model, output_mode="coco_rle", **thresholds)
    best, areas, masks, seconds = [], [], 0, 0.0
    for one in seen:
        start = time.perf_counter()
        found = [mask["segmentation"]["counts"] for mask in generator.generate(one.image)]
        seconds += time.perf_counter() - start
        objects = one.masks.select([i for i, node in enumerate(one.nodes) if node.level == "object"])
        iou = objects.iou(Masks.parse(found, [*one.image.shape[:2]]))
        best.append(np.max(iou, axis=1, initial=0.0))
        areas.append(objects.areas())
        masks += len(found)
    return _recalls(np.concatenate(best), np.concatenate(areas)) | {
        "masks": masks / len(seen),
        "seconds": seconds / len(seen),
    }


def measure_features(sam: Sam, train: Sequence[Seen], test: Sequence[Seen]) -> dict[str, float]:
    """How well ridge regression reads colour and kind of objects, and kind of parts, from pooled features."""
    known, asked = _pooled(sam, train), _pooled(sam, test)
    levels = (("colour", "object", 2), ("kind", "object", 1), ("part", "part", 1))
    return {name: _linear(known, asked, level, field) for name, level, field in levels}


def measure_captions(clip: Clip, seen: Sequence[Seen]) -> dict[str, float]:
    """The share of regions captioned exactly right, by level."""
    right: dict[str, list[bool]] = {}
    for one in seen:
        said = clip.caption(_crops(clip, one))
        for node, found, wanted in zip(one.nodes, said, one.captions, strict=True):
            right.setdefault(node.level, []).append(found == wanted)
    return {level: float(np.mean(hits)) for level, hits in sorted(right.items())}


def measure_unheard(clip: Clip, seen: Sequence[Seen]) -> float:
    """Of things in a colour that no other of their kind ever had, the share that their own kind's name fits best."""
    crops = torch.cat([clip.encode_image(_crops(clip, one)) for one in seen])
    concepts = [said for one in seen for said in one.concepts]
    held = [
        i for i, (level, kind, colour, *_) in enumerate(concepts) if level == "object" and (colour, kind) in HELD_OUT
    ]
    kinds = sorted(KINDS)
    nearest = (clip.encode_text(clip.tokenize(kinds)).pooled @ crops[held].T).argmax(0).tolist()
    return float(np.mean([kinds[k] == concepts[i][1] for k, i in zip(nearest, held, strict=True)]))


def measure_similarity(clip: Clip, seen: Sequence[Seen]) -> dict[str, NDArray[np.float64]]:
    """Cosines of object crops with phrases for objects.

    Returns:
        `right` ("red car" and "car" on red cars), `colour` (another colour, same kind), `kind` (another kind, same
        colour), `other` (neither).
    """
    crops = torch.cat([clip.encode_image(_crops(clip, one)) for one in seen])
    regions = [said for one in seen for said in one.concepts]
    objects = [i for i, said in enumerate(regions) if said[0] == "object"]
    shown = [regions[i] for i in objects]
    phrases = sorted({("object", kind, colour, "", 0) for _, kind, own, _, _ in shown for colour in (own, "")})
    texts = [" ".join(word for word in ("the", colour, kind) if word) for _, kind, colour, _, _ in phrases]
    cosine = (clip.encode_text(clip.tokenize(texts)).pooled @ crops[objects].T).double().numpy()
    right = fits(phrases, shown)
    same_kind = np.array([[p[1] == r[1] for r in shown] for p in phrases])
    same_colour = np.array([[p[2] == r[2] for r in shown] for p in phrases])
    return {
        "right": cosine[right],
        "colour": cosine[~right & same_kind],
        "kind": cosine[~right & same_colour],
        "other": cosine[~right & ~same_kind & ~same_colour],
    }


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"{q}%": round(float(np.percentile(values, q)), 4) for q in (1, 5, 25, 50, 75, 95, 99)}


def _see(seed: int, index: int, holdout: bool) -> Seen:
    town = scene(seed, index, SPLIT, holdout)
    drawing = draw(town)
    nodes = region_nodes(drawing)
    masks = Masks.from_dense(drawing.masks[[node.id for node in nodes]])
    image = compressed(drawing.image, random_for(f"{seed}/{SPLIT}/{index}/seen"))
    captions = [caption(town, node) for node in nodes]
    return Seen(image, nodes, masks, captions, [concept(town, node) for node in nodes])


def _crops(clip: Clip, one: Seen) -> Tensor:
    cv2.setNumThreads(1)
    crops = masked_crops(one.image, one.masks, clip.eye, MARGIN)
    return torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())


def _recalls(best: NDArray[np.float64], areas: NDArray[np.int64]) -> dict[str, float]:
    sizes = {"small": areas < SMALL, "medium": (areas >= SMALL) & (areas < LARGE), "large": areas >= LARGE}
    by_size = {f"recall_{name}": float((best[of] > 0.5).mean()) for name, of in sizes.items() if of.any()}
    return {"best_iou": float(best.mean()), "recall": float((best > 0.5).mean()), **by_size}


def _pooled(sam: Sam, seen: Sequence[Seen]) -> tuple[Tensor, list[Concept]]:
    """Features averaged under each region, and what each region is."""
    rows = []
    for one in seen:
        features = sam.encode(torch.from_numpy(to_frame(one.image, sam.image_size))[None])[0]
        cover = torch.from_numpy(one.masks.coverage((sam.grid, sam.grid), Frame(None, False, sam.image_size)))
        rows.append(torch.einsum("chw,nhw->nc", features, cover / cover.sum((1, 2), keepdim=True).clamp(min=1e-6)))
    return torch.cat(rows), [said for one in seen for said in one.concepts]


def _linear(known: tuple[Tensor, list[Concept]], asked: tuple[Tensor, list[Concept]], level: str, field: int) -> float:
    """Accuracy of one-against-all ridge regression of a field of the concept, on regions of one level."""
    labels = sorted({said[field] for said in known[1] if said[0] == level})
    (x, y), (u, v) = ([*_rows(rows, concepts, level, field, labels)] for rows, concepts in (known, asked))
    targets = torch.eye(len(labels))[y]
    weights = torch.linalg.solve(x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1]), x.T @ targets)
    return float(((u @ weights).argmax(1) == v).float().mean())


def _rows(
    features: Tensor, concepts: list[Concept], level: str, field: int, labels: list[str | int]
) -> tuple[Tensor, Tensor]:
    chosen = [i for i, said in enumerate(concepts) if said[0] == level and said[field] in labels]
    x = torch.cat([features[chosen], torch.ones(len(chosen), 1)], 1)
    return x, torch.tensor([labels.index(concepts[i][field]) for i in chosen])
