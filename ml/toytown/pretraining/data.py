"""What the backbones are pretrained on: scenes of the split "pretrain", rendered once and kept in memory.

The split is disjoint from every other one, and held-out combinations never appear in it.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ml.labeling.geometry.crops import masked_crops
from ml.labeling.geometry.eye import Eye
from ml.masks import Frame, Masks
from ml.toytown.pretraining.text import Concept, asked, concept, words_of
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.language import caption
from ml.toytown.world.scene import Node, random_for, scene
from ml.toytown.world.sentences import scene_caption

SPLIT = "pretrain"
LEVELS = ("part", "object", "group", "scene")
SIDE, LOW, GRID = 256, 64, 16  # image, mask decoder's output, encoder's output
CROP = 48  # pixels, what CoCa sees
MARGINS = (0.15, 0.35)  # around the labels' 0.25
SLIP = 2  # pixels that a mask is off by at most
LEFT = 0.6  # of a mask's area that stays, however badly it is drawn
MIN_AREA = 12  # pixels; what shows less is no region


@dataclass(frozen=True)
class Rendered:
    """One scene: its image in SAM's frame, its regions' coverage at 64 x 64 (0..255), their crops and captions.

    The last crop and caption are of the whole image.
    """

    image: NDArray[np.uint8]  # [3, 256, 256]
    coverage: NDArray[np.uint8]  # [N, 64, 64]
    levels: NDArray[np.int64]  # [N], index into LEVELS
    areas: NDArray[np.int64]  # [N], pixels
    crops: NDArray[np.uint8]  # [N + 1, 3, 48, 48]
    captions: list[str]  # [N + 1]
    concepts: list[Concept]  # [N]
    texts: list[str]  # queries, questions, answers, sentences


@dataclass(frozen=True)
class Pick:
    """Training targets of one image: prompts and the masks they mean, and every region with its words."""

    points: Tensor  # [P, 2] x, y in pixels
    targets: Tensor  # [P, 4, 64, 64]: object, part, object, group or scene
    coverage: Tensor  # [N, 16, 16]
    words: Tensor  # [N, W]
    word_map: Tensor  # [W, 64, 64]: the share of each pixel that regions with this word cover
    place_map: Tensor  # [4, 64, 64]: xyxy of the object around a pixel, relative to it, in image sides
    on_object: Tensor  # [64, 64] bool: where `place_map` says something


class Scenes:
    """Rendered scenes, and random batches of them for the SAM."""

    def __init__(self, rendered: Sequence[Rendered]) -> None:
        self.rendered = rendered
        texts = (text for one in rendered for text in one.captions[:-1])
        self.words = sorted({word for text in texts for word in words_of(text)})
        self._index = {word: i for i, word in enumerate(self.words)}

    def images(self, count: int) -> Tensor:
        """The first `count` images, uint8 `[count, 3, 256, 256]`."""
        return torch.stack([torch.from_numpy(one.image) for one in self.rendered[:count]])

    def batch(self, images: int, points: int, draw: torch.Generator) -> tuple[Tensor, list[Pick]]:
        """Images uint8 `[B, 3, 256, 256]`, each mirrored by chance, and what is asked of each."""
        chosen = torch.randint(len(self.rendered), (images,), generator=draw).tolist()
        flips = torch.rand(images, generator=draw) < 0.5
        stack = torch.stack([torch.from_numpy(self.rendered[i].image) for i in chosen])
        stack = torch.where(flips[:, None, None, None], stack.flip(-1), stack)
        picks = [self._pick(self.rendered[i], bool(flip), points, draw) for i, flip in zip(chosen, flips, strict=True)]
        return stack, picks

    def multi_hot(self, captions: Sequence[str]) -> Tensor:
        """`[N, W]`: which words each caption has."""
        hot = torch.zeros(len(captions), len(self.words))
        for i, text in enumerate(captions):
            hot[i, [self._index[word] for word in words_of(text)]] = 1
        return hot

    def _pick(self, one: Rendered, flip: bool, points: int, draw: torch.Generator) -> Pick:
        coverage = torch.from_numpy(one.coverage).float() / 255
        coverage = coverage.flip(-1) if flip else coverage
        levels, areas = torch.from_numpy(one.levels), torch.from_numpy(one.areas)
        share = torch.tensor([0.25, 1.0, 1.5, 0.6])[levels]  # parts are many, groups few
        regions = torch.multinomial(share, points, replacement=True, generator=draw)
        cells = torch.multinomial(coverage[regions].flatten(1) ** 2 + 1e-9, 1, generator=draw)[:, 0]
        rows, columns = cells // LOW, cells % LOW
        jitter = torch.rand(points, 2, generator=draw)
        xy = (torch.stack([columns, rows], 1) + jitter) * (SIDE / LOW)
        at = coverage[:, rows, columns].T > 0.5  # [P, N]
        targets = coverage[nested(at, levels, areas, regions)]
        words = self.multi_hot(one.captions[:-1])
        word_map = torch.einsum("nw,nyx->wyx", words, coverage).clamp(max=1)
        return Pick(
            xy,
            targets,
            F.avg_pool2d(coverage, LOW // GRID),
            words,
            word_map,
            *place(coverage[levels == LEVELS.index("object")]),
        )


def place(objects: Tensor) -> tuple[Tensor, Tensor]:
    """Where the object around each pixel lies: `place_map` and `on_object` of `Pick`, from coverage `[K, 64, 64]`."""
    cells = (torch.arange(LOW) + 0.5) / LOW
    here = torch.stack([cells.expand(LOW, LOW), cells[:, None].expand(LOW, LOW)])
    inside = objects > 0.5
    edges = [_extent(inside.any(axis), cells) for axis in (1, 2)]
    boxes = torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], 1)
    best = objects.argmax(0)
    return boxes[best].permute(2, 0, 1) - here.repeat(2, 1, 1), inside.any(0)


def _extent(occupied: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """First and last occupied position of each row of bools `[K, 64]`."""
    low = torch.where(occupied, cells, 1.0).amin(1)
    high = torch.where(occupied, cells, 0.0).amax(1)
    return low, high


def nested(at: Tensor, levels: Tensor, areas: Tensor, regions: Tensor) -> Tensor:
    """Which regions a point means, `[P, 4]`: object, part, object, group; each falls back on the next level.

    Args:
        at: `[P, N]` bool, the regions that hold the point; of several of one level the smallest counts.
        regions: `[P]`, the region that the point was drawn from, for points that no region holds by half.
    """
    orders = ((1, 3, 2, 0), (0, 1, 3, 2), (1, 3, 2, 0), (2, 1, 3, 0))
    chosen = []
    for order in orders:
        rank = torch.tensor(order).argsort()[levels]
        cost = torch.where(at, rank * 1e6 + areas, torch.inf)
        chosen.append(torch.where(at.any(1), cost.argmin(1), regions))
    return torch.stack(chosen, 1)


def render(seed: int, count: int, first: int = 0, workers: int = 2) -> list[Rendered]:
    """Render scenes `first` to `first + count` of the split, on a few processes."""
    context = multiprocessing.get_context("forkserver")  # the parent may hold torch's threads
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        return list(pool.map(partial(_render, seed), range(first, first + count), chunksize=16))


def region_nodes(drawing: Drawing) -> list[Node]:
    """The nodes that can be seen."""
    return [node for node in drawing.scene.nodes if drawing.areas[node.id] >= MIN_AREA]


def compressed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image after JPEG of a random quality."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 97))]
    decoded = cv2.imdecode(cv2.imencode(".jpg", image[..., ::-1], quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)[..., ::-1].copy()


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _render(seed: int, index: int) -> Rendered:
    rng = random_for(f"{seed}/{SPLIT}/{index}/crops")
    town = scene(seed, index, SPLIT)
    drawing = draw(town)
    nodes = region_nodes(drawing)
    dense = drawing.masks[[node.id for node in nodes]]
    image = compressed(drawing.image, rng)
    masks = Masks.from_dense(dense)
    coverage = masks.coverage((LOW, LOW), Frame(None, False, SIDE))
    return Rendered(
        image=image.transpose(2, 0, 1),  # of the frame's size
        coverage=(coverage * 255).round().astype(np.uint8),
        levels=np.array([LEVELS.index(node.level) for node in nodes]),
        areas=masks.areas(),
        crops=_crops(image, dense, rng),
        captions=[*(caption(town, node) for node in nodes), scene_caption(drawing, rng)],
        concepts=[concept(town, node) for node in nodes],
        texts=asked(drawing, rng),
    )


def _crops(image: NDArray[np.uint8], dense: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Masked crops of jittered masks, and the whole image: uint8 `[N + 1, 3, 48, 48]`."""
    ragged = Masks.from_dense(np.stack([_jitter(mask, rng) for mask in dense]))
    crops = masked_crops(image, ragged, Eye(CROP), float(rng.uniform(*MARGINS)))
    whole = cv2.resize(image, (CROP, CROP), interpolation=cv2.INTER_AREA)
    return np.concatenate([crops, whole[None]]).transpose(0, 3, 1, 2).copy()


def _jitter(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The mask, or one as SAM may draw it: grown, shrunk, shifted, without its end, or with more at one side."""
    kind = rng.integers(8)
    kernel = np.ones((3, 3), np.uint8)
    if kind == 0:
        moved = cv2.dilate(mask.astype(np.uint8), kernel, iterations=int(rng.integers(1, 4))).astype(bool)
    elif kind == 1:
        moved = cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
    elif kind == 2:
        moved = np.roll(mask, rng.integers(-SLIP, SLIP + 1, 2), (0, 1))
    elif kind == 3:
        moved = _cut(mask, rng)
    elif kind == 4:
        moved = mask | np.roll(mask, rng.integers(-2 * SLIP, 2 * SLIP + 1, 2), (0, 1))
    else:
        return mask
    return moved if moved.sum() >= LEFT * mask.sum() else mask


def _cut(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The mask without up to `1 - LEFT` of it, beyond a line in any direction."""
    rows, columns = mask.nonzero()
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    kept = along <= np.quantile(along, rng.uniform(LEFT, 1))
    out = np.zeros_like(mask)
    out[rows[kept], columns[kept]] = True
    return out
