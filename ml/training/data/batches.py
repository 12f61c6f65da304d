"""From an image of the training set to what a step sees of it, and from those to a batch.

Coverage, boxes and texts all go through the image's view (mirrored or not, cropped or not), so that they stay true
of the pixels. What is drawn at random is drawn from (seed, epoch, image id): no state, no order, no process matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ml.labeling.language.referents import UNREAD, Referents
from ml.params import Training
from ml.sa1b.reading.frames import least_size
from ml.sa1b.reading.reader import decode, read_jpeg
from ml.training.data.augment import View, cached_view, doubt, plain_view, random_view, render
from ml.training.data.samples import Labels, Query, Question, TrainingData

FINE = 4  # grounding logits have four times the grid's resolution
RELEVANT = 0.5  # masks at least this relevant make up a grounding target
PHRASES = 2  # region captions an image and step
QUESTIONS = 2
REMAINS = 0.5  # of a mask's area; with less left in the crop the region is not there any more


@dataclass(frozen=True)
class Example:
    """One view of one image: N regions, Q queries, P described regions, K questions. Arrays as in `Batch`."""

    image_id: int
    pixels: np.ndarray  # features float16 [C, h, w], or the frame uint8 [4, S, S]
    fine: np.ndarray
    boxes: np.ndarray
    valid: np.ndarray
    embeddings: np.ndarray
    crops: np.ndarray
    queries: list[str]
    spoken: list[Referents]
    targets: np.ndarray
    anchors: np.ndarray
    named: np.ndarray
    relevance: np.ndarray
    caption: str
    phrases: list[str]
    phrase_regions: np.ndarray  # float32 [P, N], 1 for the regions that a phrase describes
    questions: list[str]
    answers: list[str]
    evidence: np.ndarray


@dataclass
class Batch:
    """B views of N regions, padded; Q queries, P phrases and K questions an image, "" where there are fewer.

    Attributes:
        image_ids: int64 [B].
        pixels: float16 [B, C, h, w] frozen features, or uint8 [B, 4, S, S] images in SAM's frame.
        fine: float32 [B, N, 4h, 4w], the covered fraction of each cell.
        boxes: float32 [B, N, 4], xyxy in [0, 1] of the frame.
        valid: bool [B, N].
        embeddings: float32 [B, N, e], L2-normalised CLIP embeddings of the masked crops.
        crops: float32 [B, N, e], these as the heads see them: in training some are doubted.
        queries: [B][Q] texts.
        spoken: [B][Q], what each speaks of, `UNREAD` where the text is to be read.
        targets: int64 [B, Q], the region that is meant, of several the surest; -1 where none is, or there is no query.
        anchors: int64 [B, Q], the region that it is told against, -1 for none.
        named: float32 [B, Q, N], 1 for the regions that a query's name alone might mean: the cars of "leftmost car".
        relevance: float32 [B, Q, N].
        captions: [B].
        phrases: [B][P].
        phrase_regions: float32 [B, P, N], 1 for the regions that a phrase describes.
        questions, answers: [B][K].
        evidence: int64 [B, K], -1 for none.
    """

    image_ids: Tensor
    pixels: Tensor
    fine: Tensor
    boxes: Tensor
    valid: Tensor
    embeddings: Tensor
    crops: Tensor
    queries: list[list[str]]
    spoken: list[list[Referents]]
    targets: Tensor
    anchors: Tensor
    named: Tensor
    relevance: Tensor
    captions: list[str]
    phrases: list[list[str]]
    phrase_regions: Tensor
    questions: list[list[str]]
    answers: list[list[str]]
    evidence: Tensor

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def coverage(self) -> Tensor:
        """Covered fraction of the cells of the feature grid, `[B, N, h, w]`; exact, fine cells nest in coarse ones."""
        return F.avg_pool2d(self.fine, FINE)

    def to(self, device: torch.device) -> Self:
        """The batch with its tensors on `device`."""
        tensors = {
            field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)
        }
        moved: dict[str, Any] = {name: value.to(device) for name, value in tensors.items()}
        return replace(self, **moved)


class Examples(torch.utils.data.Dataset):
    """The training set as a map from a list of (epoch, image index) to a batch."""

    def __init__(self, data: TrainingData, params: Training, side: int, seed: int, train: bool) -> None:
        """`side`: of SAM's frame in pixels. `train`: augment, and draw anew each epoch."""
        self.data, self.params, self.side, self.seed, self.train = data, params, side, seed, train

    def __getitem__(self, batch: Sequence[tuple[int, int]]) -> Batch:
        return collate([self.example(epoch, index) for epoch, index in batch])

    def example(self, epoch: int, index: int) -> Example:
        """What a step sees of an image in an epoch."""
        labels = self.data.labels(index)
        rng = np.random.default_rng([self.seed, epoch, labels.image_id])
        view = self._view(rng, labels)
        grid = self.side // 16 * FINE
        fine = labels.masks.coverage((grid, grid), view.frame)
        seen = visible(labels, view, fine)
        queries = asked(rng, labels, seen, self.params)
        phrased = np.array([bool(phrase) for phrase in labels.phrases], bool)
        described = rng.permutation(np.flatnonzero(seen & phrased))[:PHRASES]
        questions = rng.permutation(answerable(labels, seen))[:QUESTIONS]
        wanted = [n for q in queries for n in (labels.queries[q].target, labels.queries[q].anchor)]
        wanted += [labels.questions[k].evidence for k in questions]
        relevant = np.flatnonzero((labels.relevance[queries] >= RELEVANT).any(0) & seen)
        regions = chosen_regions(rng, seen, [*wanted, *described], relevant, self.params.regions_per_image)
        doubts = doubt(rng, len(regions)) if self.train else 1
        return self._assemble(index, labels, view, fine, seen, regions, doubts, queries, described, questions)

    def _view(self, rng: np.random.Generator, labels: Labels) -> View:
        if not self.train:
            return plain_view(self.side)
        if self.params.cached_features:
            return cached_view(rng, self.params.augment, self.side)
        return random_view(rng, self.params.augment, self.side, labels.masks.size)

    def _pixels(self, index: int, labels: Labels, view: View) -> np.ndarray:
        if self.params.cached_features:
            return self.data.features(index, int(view.frame.flip))
        tar, size = self.data.ws.shard_file("sa1b_shards", labels.shard, ".tar"), labels.masks.size
        image = decode(read_jpeg(tar, *labels.jpeg), least_size(view.frame, size))
        return render(image, view, size).numpy()

    def _assemble(
        self,
        index: int,
        labels: Labels,
        view: View,
        fine: np.ndarray,
        seen: np.ndarray,
        regions: np.ndarray,
        doubts: np.ndarray | int,
        queries: np.ndarray,
        described: np.ndarray,
        questions: np.ndarray,
    ) -> Example:
        place = np.full(len(labels.masks) + 1, -1)  # the last entry serves -1, "none"
        place[regions] = np.arange(len(regions))
        asked: list[Query] = [labels.queries[q] for q in queries]
        relevance = labels.relevance[queries][:, regions]
        answered: list[Question] = [labels.questions[k] for k in questions]
        same = np.array(
            [[labels.phrases[n] == labels.phrases[p] for n in regions] for p in described], np.float32
        ).reshape(len(described), len(regions))
        embeddings = self.data.embeddings(index)[regions]
        return Example(
            image_id=labels.image_id,
            pixels=self._pixels(index, labels, view),
            fine=fine if len(regions) == len(fine) else fine[regions],
            boxes=view.frame.boxes(labels.boxes, labels.masks.size)[regions].astype(np.float32),
            valid=seen[regions],
            embeddings=embeddings,
            crops=embeddings * doubts,
            queries=[view.text(query.text) for query in asked],
            spoken=[Referents(query.name, query.against) for query in asked],
            targets=place[np.array([query.target for query in asked], np.int64)],
            anchors=place[np.array([query.anchor for query in asked], np.int64)],
            named=np.array([np.isin(regions, query.named) for query in asked], np.float32).reshape(relevance.shape),
            relevance=relevance,
            caption=view.text(labels.caption),
            phrases=[view.text(labels.phrases[n]) for n in described],
            phrase_regions=same,
            questions=[view.text(question.text) for question in answered],
            answers=[view.text(question.answer) for question in answered],
            evidence=place[np.array([question.evidence for question in answered], np.int64)],
        )


def visible(labels: Labels, view: View, fine: np.ndarray) -> np.ndarray:
    """Bool [N]: which masks are still there in the view, judged by their area."""
    height, width = view.frame.resized(labels.masks.size)
    x0, y0, x1, y1 = view.frame.region(labels.masks.size)
    cell = (view.frame.out / fine.shape[-1]) ** 2
    pixels = fine.sum((1, 2)) * cell * ((x1 - x0) * (y1 - y0)) / (height * width)
    return pixels >= REMAINS * np.maximum(labels.masks.areas(), 1)


def asked(rng: np.random.Generator, labels: Labels, seen: np.ndarray, params: Training) -> np.ndarray:
    """Queries of one step, int64: of things that the view still shows, and a share `absent` of what is nowhere."""
    present = [q for q, query in enumerate(labels.queries) if query.target >= 0 and seen[query.target]]
    absent = rng.permutation([q for q, query in enumerate(labels.queries) if query.target < 0])
    share = absent[: rng.binomial(params.queries_per_image, params.absent)]
    shown = balanced(rng, present, labels)[: params.queries_per_image - len(share)]
    return np.concatenate([shown, share]).astype(np.int64)


def balanced(rng: np.random.Generator, queries: Sequence[int], labels: Labels) -> np.ndarray:
    """The queries in an order whose every beginning holds the kinds as evenly as there are queries of them: int64."""
    shuffled = rng.permutation(np.array(queries, np.int64))
    kinds = [labels.queries[q].kind for q in shuffled]
    turns = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return shuffled[np.argsort(np.array(turns, np.int64), kind="stable")]


def answerable(labels: Labels, seen: np.ndarray) -> np.ndarray:
    """The questions whose answer a view still shows; one without evidence may be about any of the masks."""
    shown = [bool(seen[item.evidence]) if item.evidence >= 0 else bool(seen.all()) for item in labels.questions]
    return np.flatnonzero(np.array(shown, bool))


def chosen_regions(
    rng: np.random.Generator, seen: np.ndarray, wanted: Sequence[int], relevant: np.ndarray, most: int
) -> np.ndarray:
    """Regions in their order in the image: all that something asks for, then relevant ones, then any, up to `most`."""
    first = {int(n) for n in wanted if n >= 0}
    ranked = [int(n) for n in dict.fromkeys([*rng.permutation(relevant), *rng.permutation(np.flatnonzero(seen))])]
    others = [n for n in ranked if n not in first]
    return np.array(sorted([*first, *others[: max(0, most - len(first))]]), np.int64)


def collate(examples: Sequence[Example]) -> Batch:
    """Pad to the most regions, queries, phrases and questions of any example; at least one of each."""
    regions = max(1, *(len(example.valid) for example in examples))
    queries, phrases, questions = (
        max(1, *(len(getattr(example, name)) for example in examples)) for name in ("queries", "phrases", "questions")
    )

    def stacked(name: str, *shape: int, fill: float = 0) -> Tensor:
        return torch.from_numpy(_stacked([getattr(example, name) for example in examples], shape, fill))

    def texts(name: str, length: int) -> list[list[str]]:
        return [[*getattr(example, name), *[""] * (length - len(getattr(example, name)))] for example in examples]

    return Batch(
        image_ids=torch.tensor([example.image_id for example in examples]),
        pixels=torch.from_numpy(np.stack([example.pixels for example in examples])),
        fine=stacked("fine", regions),
        boxes=stacked("boxes", regions),
        valid=stacked("valid", regions),
        embeddings=stacked("embeddings", regions),
        crops=stacked("crops", regions),
        queries=texts("queries", queries),
        spoken=[[*example.spoken, *[UNREAD] * (queries - len(example.spoken))] for example in examples],
        targets=stacked("targets", queries, fill=-1),
        anchors=stacked("anchors", queries, fill=-1),
        named=stacked("named", queries, regions),
        relevance=stacked("relevance", queries, regions),
        captions=[example.caption for example in examples],
        phrases=texts("phrases", phrases),
        phrase_regions=stacked("phrase_regions", phrases, regions),
        questions=texts("questions", questions),
        answers=texts("answers", questions),
        evidence=stacked("evidence", questions, fill=-1),
    )


def _stacked(arrays: Sequence[np.ndarray], shape: tuple[int, ...], fill: float) -> np.ndarray:
    """Arrays padded to `shape` in their first dimensions, one after the other."""
    out = np.full((len(arrays), *shape, *arrays[0].shape[len(shape) :]), fill, arrays[0].dtype)
    for padded, array in zip(out, arrays, strict=True):
        padded[tuple(slice(0, size) for size in array.shape)] = array
    return out
