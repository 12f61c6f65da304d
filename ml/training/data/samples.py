"""The training set on disk: random access to an image's pseudo-labels and frozen features, in bounded memory.

Labels are Parquet, read a row group at a time; features and region embeddings are safetensors, memory-mapped. What
is open or parsed is kept in caches of fixed size, so that a thousand shards take no more memory than ten.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from ml.errors import UserError
from ml.labeling.training_set.manifest import is_validation
from ml.masks import Masks
from ml.workspace import Workspace

OPEN_SHARDS = 8
ROW_GROUPS = 8
PARSED_IMAGES = 1024
MASKS = "mask_ids.list.element"  # a number a mask
QUERIES = "queries.list.element.target"  # a number a query
COLUMNS = (
    *("image_id", "width", "height", "jpeg_offset", "jpeg_bytes", "counts", "boxes"),
    *("caption", "phrases", "queries", "relevance", "questions"),
)


class Query(NamedTuple):
    """A query about an image; a region is the index of its mask."""

    text: str
    kind: str
    target: int  # the region that is meant; -1: none, it is absent
    anchor: int  # the region that its place is told against, or its whole; -1: none
    named: list[int]  # the regions that its name alone might mean
    name: str  # what it names, as CLIP reads it; "" where the text is to be read
    against: str  # what its place is told against, "" for none


class Question(NamedTuple):
    """A question about an image with its answer; a region is the index of its mask."""

    text: str
    answer: str
    evidence: int  # the region that shows the answer; -1: none


@dataclass(frozen=True)
class Labels:
    """The pseudo-labels of an image with N masks and Q queries.

    Attributes:
        shard: its name.
        first_mask: the row of its first mask among the shard's masks.
        jpeg: offset and size in bytes inside the shard's tar.
        boxes: float32 [N, 4], xywh in pixels of the image.
        relevance: float32 [Q, N] in [0, 1].
        phrases: [N], "" where a region is not described.
    """

    image_id: int
    shard: str
    first_mask: int
    jpeg: tuple[int, int]
    masks: Masks
    boxes: np.ndarray
    caption: str
    phrases: list[str]
    queries: list[Query]
    relevance: np.ndarray
    questions: list[Question]


class RowGroup(NamedTuple):
    """A row group of a shard's labels: its number in the file, and where its first image and mask come in the shard."""

    shard: int
    number: int
    first_image: int
    first_mask: int


class TrainingData:
    """All images of the training set; an index is an image. A copy for another process holds what reading needs only.

    Attributes:
        image_ids: int64 [n].
        blocks: [n], which row group of which shard an image lies in; images of a block are cheap to read together.
        left_out: bool [n], copies of benchmark images: neither trained on nor validated with.
        validation: bool [n].
        train: bool [n], all others.
        digests: what the labels and features were when the training set was made, shard by shard.
    """

    def __init__(self, ws: Workspace) -> None:
        """Read the manifests and every shard's image ids.

        Raises:
            UserError: a manifest, or a file that one names, is missing or broken; there is nothing to learn from.
        """
        self.ws = ws
        self.names, self.digests, split, left_out = _read_manifests(ws.stage("training_set"))
        paths = [ws.shard_file("pseudo_labels", name, ".parquet") for name in self.names]
        read = [_read_groups(shard, path) for shard, path in enumerate(paths)]
        self._groups = [group for groups, _ in read for group in groups]
        self.image_ids = np.concatenate([ids for _, ids in read] or [np.empty(0, np.int64)])
        shard_starts = np.cumsum([0, *(len(ids) for _, ids in read)])
        self._starts = np.array([shard_starts[group.shard] + group.first_image for group in self._groups], np.int64)
        self.blocks = np.repeat(np.arange(len(self._groups)), np.diff(self._starts, append=len(self.image_ids)))
        self.left_out = np.isin(self.image_ids, left_out)
        self.validation = np.array([split(int(image_id)) for image_id in self.image_ids], bool) & ~self.left_out
        self.train = ~self.validation & ~self.left_out
        self._check_split()
        self._check_queries()
        self._make_caches()

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getstate__(self) -> dict[str, Any]:  # loader workers open their own files, and know no split
        return {name: getattr(self, name) for name in ("ws", "names", "_groups", "_starts")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_caches()

    def _make_caches(self) -> None:
        self.labels = lru_cache(PARSED_IMAGES)(self._labels)
        self._row_group = lru_cache(ROW_GROUPS)(self._read_row_group)
        self._feature_rows = lru_cache(OPEN_SHARDS)(self._read_feature_rows)
        self._embeddings = lru_cache(OPEN_SHARDS)(self._open_embeddings)
        self._features = lru_cache(OPEN_SHARDS)(self._open_features)

    def feature_shape(self) -> tuple[int, ...]:
        """Views, channels, height and width of the cached features."""
        views, _, *shape = self._features(self.names[0]).get_slice("features").get_shape()
        return (views, *shape)

    def features(self, index: int, view: int) -> np.ndarray:
        """Frozen features of an image, float16 [C, h, w]; view 1 is of the mirrored image.

        Raises:
            UserError: the image or the view is not there.
        """
        labels = self.labels(index)
        file, rows = self._features(labels.shard), self._feature_rows(labels.shard)
        stored = file.get_slice("features")
        if labels.image_id not in rows or view >= stored.get_shape()[0]:
            path = self.ws.shard_file("image_features", labels.shard, ".safetensors")
            raise UserError(f"{path}: no view {view} of image {labels.image_id}; materialize `image_features` again")
        return stored[view, rows[labels.image_id]]

    def embeddings(self, index: int) -> np.ndarray:
        """CLIP embeddings of the masked crops, L2-normalised, float32 [N, e]."""
        labels = self.labels(index)
        stored = self._embeddings(labels.shard).get_slice("embeddings")
        return stored[labels.first_mask : labels.first_mask + len(labels.masks)].astype(np.float32)

    def _labels(self, index: int) -> Labels:
        place = int(np.searchsorted(self._starts, index, "right")) - 1
        group, inside = self._groups[place], int(index - self._starts[place])
        table, masks_before = self._row_group(group)
        row = table.slice(inside, 1).to_pylist()[0]
        return Labels(
            image_id=row["image_id"],
            shard=self.names[group.shard],
            first_mask=group.first_mask + int(masks_before[inside]),
            jpeg=(row["jpeg_offset"], row["jpeg_bytes"]),
            masks=Masks.parse(row["counts"], (row["height"], row["width"])),
            boxes=np.array(row["boxes"], np.float32).reshape(-1, 4),
            caption=row["caption"],
            phrases=row["phrases"],
            queries=[Query(**query) for query in row["queries"]],
            relevance=np.array(row["relevance"], np.float32).reshape(len(row["queries"]), len(row["counts"])),
            questions=[Question(item["question"], item["answer"], item["evidence"]) for item in row["questions"]],
        )

    def _read_row_group(self, group: RowGroup) -> tuple[pa.Table, np.ndarray]:
        """The rows of a group, and how many masks in it come before each."""
        path = self.ws.shard_file("pseudo_labels", self.names[group.shard], ".parquet")
        file = pq.ParquetFile(path, memory_map=True)
        table = file.read_row_group(group.number, columns=list(COLUMNS), use_threads=False)
        masks = table["counts"].combine_chunks().value_lengths().to_numpy()
        return table, np.cumsum([0, *masks])

    def _read_feature_rows(self, name: str) -> dict[int, int]:
        """The row of each image among a shard's features."""
        ids = self._features(name).get_tensor("image_ids")
        return {int(image_id): row for row, image_id in enumerate(ids)}

    def _open_embeddings(self, name: str) -> Any:
        return _open(self.ws.shard_file("pseudo_labels", name, ".safetensors"), "pseudo_labels")

    def _open_features(self, name: str) -> Any:
        return _open(self.ws.shard_file("image_features", name, ".safetensors"), "image_features")

    def _check_split(self) -> None:
        n, held = int((~self.left_out).sum()), int(self.validation.sum())
        if n == 0:
            raise UserError(
                f"training_set: found {len(self.left_out)} images with labels, {int(self.left_out.sum())} of them "
                "copies of benchmark images, wanted at least 2 others; loosen `filter` in params.yaml, or raise "
                "shards.count"
            )
        if held == 0 or held == n:
            raise UserError(
                f"training_set.validation_fraction: it leaves {n - held} images to train on and {held} to validate, "
                "both must be at least 1; change it, or raise shards.count"
            )

    def _check_queries(self) -> None:
        """See that queries are asked both of images to train on and of those to validate with."""
        lacking = {"to train on": self.train, "to validate with": self.validation}
        for group, start in zip(self._groups, self._starts.tolist(), strict=True):
            asked = self._asked(group)
            rows = slice(start, start + len(asked))
            lacking = {part: images for part, images in lacking.items() if not (images[rows] & asked).any()}
            if not lacking:
                return
        part, images = next(iter(lacking.items()))
        raise UserError(
            f"{self.ws.stage('training_set')}: none of {int(images.sum())} images {part} has a query; see the data "
            "card there for what was described, check backbones.clip and the section labels, or raise shards.count"
            + ("" if images is self.train else " or training_set.validation_fraction")
        )

    def _asked(self, group: RowGroup) -> np.ndarray:
        """Bool, a row group's images: whether there are queries of it."""
        path = self.ws.shard_file("pseudo_labels", self.names[group.shard], ".parquet")
        table = pq.ParquetFile(path, memory_map=True).read_row_group(group.number, columns=[QUERIES])
        return table["queries"].combine_chunks().value_lengths().to_numpy() > 0


def _read_manifests(folder: Path) -> tuple[list[str], dict[str, str], Callable[[int], bool], list[int]]:
    manifests = [_read_manifest(path) for path in sorted(folder.glob("*.json"))]
    if not manifests:
        raise UserError(f"{folder}: no group_*.json; materialize the stage `training_set` first")
    entries = [entry for manifest in manifests for entry in manifest["shards"]]
    kinds = ("labels", "features", "embeddings")
    digests = {f"{entry['shard']}.{kind}": str(entry[kind]) for entry in entries for kind in kinds}
    seed, fraction = manifests[0]["seed"], manifests[0]["validation_fraction"]
    left_out = [image_id for manifest in manifests for image_id in manifest["left_out"]]
    names = [entry["shard"] for entry in entries]
    return names, digests, lambda image_id: is_validation(seed, image_id, fraction), left_out


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); materialize `training_set` again") from error


def _read_groups(shard: int, path: Path) -> tuple[list[RowGroup], np.ndarray]:
    """The row groups of a shard's labels and its image ids; how many masks a group has, its statistics say."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
        ids = file.read(columns=["image_id"]).column(0).to_numpy()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}); materialize `pseudo_labels` again") from error
    known = {field.name for field in file.schema_arrow.field("queries").type.value_type}
    if lacking := [name for name in Query._fields if name not in known]:
        raise UserError(
            f"{path}: its queries lack {', '.join(lacking)}, it is older; materialize `pseudo_labels` again"
        )
    groups = [(number, file.metadata.row_group(number)) for number in range(file.num_row_groups)]
    numbers = [number for number, part in groups if part.num_rows]  # an empty one has no statistics
    parts = [part for _, part in groups if part.num_rows]
    names = [parts[0].column(i).path_in_schema for i in range(parts[0].num_columns)] if parts else []
    images = np.cumsum([0, *(part.num_rows for part in parts)]).tolist()
    masks = np.cumsum([0, *(part.column(names.index(MASKS)).statistics.num_values for part in parts)]).tolist()
    return [RowGroup(shard, number, images[i], masks[i]) for i, number in enumerate(numbers)], ids


def _open(path: Path, stage: str) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({error}); materialize `{stage}` again") from error
