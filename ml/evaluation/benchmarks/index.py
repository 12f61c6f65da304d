"""The stage `benchmark_data`: benchmark folders verified and indexed, questions kept apart from answers.

What it writes, each file sorted and free of absolute paths:

    sources.json                 folder name -> path relative to this folder
    images.parquet               image (folder name / path in it), width, height, md5
    hashes.parquet               image, mirrored, phash: what a copy of it in a training shard is known by
    queries/<benchmark>.parquet  query_id, split, image, text, kind; image is `<folder>/` where it is asked of all
    regions/<benchmark>.parquet  image, counts: masks that belong to the input
    truth/<benchmark>.parquet    query_id and the answer; truth/<benchmark>_regions.parquet of the given masks
    sets.json                    benchmark -> split -> its size, the published size, and whether it is complete
    rejects.json                 rows left out as broken, with the reason

Predictions are made from images, queries and regions; only scores read truth.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import UserError, cut
from ml.evaluation.benchmarks.absence import read_absence
from ml.evaluation.benchmarks.benchmark import Benchmark
from ml.evaluation.benchmarks.flickr30k import read_flickr30k
from ml.evaluation.benchmarks.lvis import read_lvis
from ml.evaluation.benchmarks.published import lacking, splits
from ml.evaluation.benchmarks.referring.refcoco import read_refcoco
from ml.evaluation.benchmarks.regions import hold_to_pictures
from ml.evaluation.benchmarks.relevance import read_relevance
from ml.evaluation.benchmarks.vqa import read_vqa
from ml.params import Params
from ml.sa1b.reading.phash import BYTES, mirrored_phash, phash
from ml.sa1b.reading.reader import decode
from ml.workspace.atomic import write_json
from ml.workspace.keys import file_md5
from ml.workspace.report import Report

READERS: dict[str, Callable[[Path], list[Benchmark]]] = {
    "refcoco": read_refcoco,
    "flickr30k": read_flickr30k,
    "lvis": read_lvis,
    "relevance": read_relevance,
    "vqa": read_vqa,
    "absence": read_absence,
}
TOYTOWN = "toytown"
MOST_WORDS, LEAST_WORDS = 290, 90  # letters of an error, and of what it says of the rows
QUERIES = pa.schema([(name, pa.string()) for name in ("query_id", "split", "image", "text", "kind")])
IMAGES = pa.schema([("image", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("md5", pa.string())])
HASHES = pa.schema([("image", pa.string()), ("mirrored", pa.bool_()), ("phash", pa.binary(BYTES))])


def build(folders: dict[str, Path], out: Path, params: Params) -> Report:
    """Read, verify and index the folders of benchmarks (see READERS) into `out`, which may hold them.

    Raises:
        UserError: a folder is missing or not laid out as distributed, or too many of its rows are broken.
    """
    report = Report()
    images: list[dict[str, Any]] = []
    rejects: list[dict[str, str]] = []
    sets: dict[str, dict[str, dict[str, Any]]] = {}
    out.mkdir(parents=True, exist_ok=True)
    for name, folder in sorted(folders.items()):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; set params.benchmarks.{name} to a folder, toytown or null")
        benchmarks = READERS[name](folder)
        known, unsound = _check_images(name, folder, benchmarks)
        images += known
        for benchmark in benchmarks:
            _keep_sound(benchmark, unsound)
            hold_to_pictures(benchmark, {row["path"]: (row["height"], row["width"]) for row in known})
            _limit_rejects(benchmark, folder, params.quality.max_reject_fraction)
            _write(benchmark, name, out)
            rejects += [{"benchmark": benchmark.name, **vars(reject)} for reject in benchmark.rejected]
            sets[benchmark.name] = _sets(benchmark, drawn=getattr(params.benchmarks, name) == TOYTOWN)
            _tell(report, benchmark, sets[benchmark.name])
    sources = {name: os.path.relpath(folder.resolve(), out.resolve()) for name, folder in folders.items()}
    write_json(out / "sources.json", sources)
    write_json(out / "sets.json", sets)
    write_json(out / "rejects.json", rejects)
    images.sort(key=lambda row: row["image"])
    _table([{name: row[name] for name in IMAGES.names} for row in images], out / "images.parquet", IMAGES)
    hashes = [{"image": row["image"], **found} for row in images for found in row["hashes"]]
    _table(hashes, out / "hashes.parquet", HASHES)
    report.numbers["images"] = len(images)
    report.rejected = dict(Counter(f"{row['benchmark']}: {row['reason']}" for row in rejects))
    return report


def image_path(data: Path, image: str) -> Path:
    """Where an indexed image lies, from its key and the folder that `build` wrote."""
    source, _, path = image.partition("/")
    sources = json.loads((data / "sources.json").read_text(encoding="utf-8"))
    return data / sources[source] / path


def _check_images(name: str, folder: Path, benchmarks: list[Benchmark]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows for the images that are sound; for the others, the reason."""
    claimed = {path: size for benchmark in benchmarks for path, size in benchmark.images.items()}
    rows, unsound = [], {}
    for path, size in sorted(claimed.items()):
        try:
            pixels = decode((folder / path).read_bytes())
        except (OSError, UserError, MemoryError) as error:
            unsound[path] = f"not readable as an image ({type(error).__name__})"
            continue
        height, width = pixels.shape[:2]
        if size is not None and size != (height, width):
            unsound[path] = f"is {width}x{height}, the annotations say {size[1]}x{size[0]}"
            continue
        hashes = [{"mirrored": False, "phash": phash(pixels)}, {"mirrored": True, "phash": mirrored_phash(pixels)}]
        md5 = file_md5(folder / path)
        told = {"path": path, "image": f"{name}/{path}", "width": width, "height": height, "md5": md5}
        rows.append({**told, "hashes": hashes})
    return rows, unsound


def _keep_sound(benchmark: Benchmark, unsound: dict[str, str]) -> None:
    worth = benchmark.worth()
    for path in sorted(unsound.keys() & benchmark.images.keys()):
        benchmark.refuse(path, "image", path, unsound[path], lost=worth[path])
    benchmark.examples = [example for example in benchmark.examples if example.image not in unsound]
    for rows in (benchmark.answers, benchmark.regions, benchmark.region_truth):
        rows[:] = [row for row in rows if row["image"] not in unsound]
    benchmark.images = {path: size for path, size in benchmark.images.items() if path not in unsound}


def _limit_rejects(benchmark: Benchmark, folder: Path, limit: float) -> None:
    kept, lost = benchmark.worth().total(), benchmark.lost
    if kept == 0 or lost > limit * (kept + lost):
        most = [f"{count} x {reason}" for reason, count in benchmark.reasons.most_common(3)]
        worst = "; ".join(most) or "nothing to read"
        unit = "images and annotations" if benchmark.asks_all else "questions"
        found = f"{folder}: {benchmark.name}: {lost} of {kept + lost} {unit} are lost to broken rows"
        way = "complete the folder, or raise params.quality.max_reject_fraction"
        raise UserError(f"{found} ({cut(worst, max(LEAST_WORDS, MOST_WORDS - len(found + way)))}); {way}")


def _write(benchmark: Benchmark, source: str, out: Path) -> None:
    examples = sorted(benchmark.examples, key=lambda example: example.query_id)
    queries = [
        {
            "query_id": example.query_id,
            "split": example.split,
            "image": f"{source}/{example.image}",
            "text": example.text,
            "kind": example.kind,
        }
        for example in examples
    ]
    _table(queries, out / "queries" / f"{benchmark.name}.parquet", QUERIES)
    own = [{"query_id": example.query_id, **example.truth} for example in examples if example.truth]
    answers = sorted(own + _keyed(benchmark.answers, source), key=lambda row: row["query_id"])
    _table(answers, out / "truth" / f"{benchmark.name}.parquet")
    if benchmark.regions:
        _table(_keyed(benchmark.regions, source), out / "regions" / f"{benchmark.name}.parquet")
        _table(_keyed(benchmark.region_truth, source), out / "truth" / f"{benchmark.name}_regions.parquet")


def _keyed(rows: list[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    keyed = [{**row, "image": f"{source}/{row['image']}"} for row in rows]
    return sorted(keyed, key=lambda row: row["image"])


def _table(rows: list[dict[str, Any]], path: Path, schema: pa.Schema | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _sets(benchmark: Benchmark, drawn: bool) -> dict[str, dict[str, Any]]:
    """The splits by name; the town's own are always complete."""
    return {
        name: {**vars(split), "complete": True, "published": {}}
        if drawn
        else {**vars(split), "complete": split.complete}
        for name, split in splits(benchmark).items()
    }


def _tell(report: Report, benchmark: Benchmark, sets: dict[str, dict[str, Any]]) -> None:
    rows = [{"benchmark": benchmark.name, "split": name, **row} for name, row in sets.items()]
    report.tables.setdefault("splits", []).extend(rows)
    partial = lacking((f"{benchmark.name}/{name}", row) for name, row in sets.items())
    report.tables.setdefault("partial", []).extend({"line": line} for line in partial)
    for reason, count in sorted(benchmark.left_out.items()):
        report.numbers[f"{benchmark.name}/left out: {reason}"] = count
