"""The training set, a shard at a time: which pictures hold what, and one picture with all that was made of it."""

import json
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.errors import UserError
from ml.labeling.export.labelled import masks
from ml.labeling.training_set.manifest import is_validation
from ml.serving.browse.tables import PAGE, Row, Stamp, opened, rows_at, shard_file, stamp, where
from ml.workspace import Workspace

STAGE = "pseudo_labels"
CARD = ["image_id", "file_name", "caption", "levels", "queries"]


class Held(NamedTuple):
    """What the pictures of a shard hold: level of a mask, and kind of a query -> numbers of its rows, ascending."""

    levels: dict[str, NDArray[np.int64]]
    kinds: dict[str, NDArray[np.int64]]
    rows: int


def page(ws: Workspace, shard: str, level: str, kind: str, start: int) -> Row:
    """The pictures of a shard that have a mask of a level and a query of a kind ("": any), PAGE of them.

    Two columns of the one shard say which they are; of the rest, the row groups are read that the page lies in.

    Raises:
        UserError: there is no such shard.
    """
    path = shard_file(ws, STAGE, shard)
    held = _held(path, stamp(path))
    chosen = _chosen(held, level, kind)
    with opened(path) as file:
        cards = [_card(row, kind) for row in rows_at(file, chosen[start : start + PAGE].tolist(), CARD)]
    counts = {"levels": _counts(held.levels), "kinds": _counts(held.kinds)}
    return {"images": cards, "start": start, "page": PAGE, "total": len(chosen), **counts}


def picture(ws: Workspace, shard: str, image_id: int) -> Row:
    """One picture: its masks (as `arrcoc export` has them), queries with relevance [Q][N], questions, and its use.

    Raises:
        UserError: there is no such shard or picture.
    """
    rows = where(shard_file(ws, STAGE, shard), "image_id", image_id)
    if not rows:
        raise UserError(f"{shard}: no image {image_id} has labels; look for it in what was left out")
    row = rows[0]
    told = {name: row[name] for name in ("image_id", "file_name", "caption", "queries", "questions")}
    size = [row["height"], row["width"]]
    return told | {"size": size, "masks": masks(row), "relevance": row["relevance"], "use": _use(ws, shard, image_id)}


def copies(ws: Workspace, shard: str) -> list[Row]:
    """The pictures of a shard that copy one of a benchmark, as the manifest of its group lists them."""
    group = _group(ws, shard)
    return [copy for copy in group["copies"] if copy["shard"] == shard] if group else []


@lru_cache(maxsize=8)
def _held(path: Path, _: Stamp) -> Held:
    with opened(path) as file:
        table = file.read(["levels", "queries.list.element.kind"])
    levels, queries = (table[name].combine_chunks() for name in ("levels", "queries"))
    return Held(_rows(levels, levels.flatten()), _rows(queries, queries.flatten().field("kind")), len(table))


def _rows(lists: pa.ListArray, values: pa.StringArray) -> dict[str, NDArray[np.int64]]:
    """The rows of lists in which each of their values is; `values`: those of all lists, one after the other."""
    encoded, rows = values.dictionary_encode(), pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    return {name: np.unique(rows[codes == code]) for code, name in enumerate(encoded.dictionary.to_pylist())}


def _chosen(held: Held, level: str, kind: str) -> NDArray[np.int64]:
    chosen, none = np.arange(held.rows), np.empty(0, np.int64)
    if level:
        chosen = np.intersect1d(chosen, held.levels.get(level, none))
    return np.intersect1d(chosen, held.kinds.get(kind, none)) if kind else chosen


def _counts(held: dict[str, NDArray[np.int64]]) -> dict[str, int]:
    return {name: len(rows) for name, rows in sorted(held.items())}


def _card(row: Row, kind: str) -> Row:
    asked = [query["text"] for query in row["queries"] if kind in ("", query["kind"])]
    told = {name: row[name] for name in ("image_id", "file_name", "caption")}
    return told | {"masks": len(row["levels"]), "queries": len(row["queries"]), "asked": asked[:3]}


def _use(ws: Workspace, shard: str, image_id: int) -> str:
    """What the training set makes of a picture, in words."""
    if (group := _group(ws, shard)) is None:
        return "not in the training set yet"
    same = [copy["benchmark_image"] for copy in group["copies"] if copy["image_id"] == image_id]
    if image_id in group["left_out"]:
        return f"left out of training: a copy of {same[0]}"
    held_back = is_validation(group["seed"], image_id, group["validation_fraction"])
    return "validation" if held_back else "training"


def _group(ws: Workspace, shard: str) -> Row | None:
    """The manifest of the group that a shard is in; groups follow one another as their shards do."""
    files = sorted(ws.stage("training_set").glob("*.json"))
    place = bisect_right(files, shard, key=lambda path: _members(path, stamp(path))[0])
    if not place or shard not in _members(files[place - 1], stamp(files[place - 1])):
        return None
    return dict(json.loads(files[place - 1].read_text(encoding="utf-8")))


@lru_cache(maxsize=256)
def _members(manifest: Path, _: Stamp) -> tuple[str, ...]:
    return tuple(member["shard"] for member in json.loads(manifest.read_text(encoding="utf-8"))["shards"])
