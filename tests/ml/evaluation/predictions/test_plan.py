"""What is asked of which image; what is asked of every image is held once."""

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml.evaluation.benchmarks.index import build
from ml.evaluation.predictions.plan import Question, plan
from ml.params import Params

READ = ("refcoco", "flickr30k", "flickr30k_captions", "lvis", "relevance", "vqa")


def test_split_choice_limits_the_work(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    build(folders, tmp_path / "data", params)
    works = plan(tmp_path / "data", {name: {"val"} if name == "refcoco" else set() for name in READ})
    assert [work.image[-7:] for work in works] == ["001.jpg", "003.jpg"]
    assert all(len(work.questions) == 3 for work in works)


def test_every_image_is_asked_every_name(folders: dict[str, Path], tmp_path: Path, params: Params) -> None:
    build({name: folders[name] for name in ("lvis", "refcoco", "relevance")}, tmp_path / "data", params)
    works = {work.image: work for work in plan(tmp_path / "data")}
    image = "lvis/images/000000000003.jpg"
    texts = {"1": "car", "2": "ball", "3": "baseball bat"}
    asked = [Question("lvis", f"{c}@images/000000000003.jpg", text) for c, text in texts.items()]
    assert works[image].questions == asked and works[image].counts is None
    others = [work for work in works.values() if work.image != image]
    assert len(others) == 6 and not any(q.benchmark == "lvis" for work in others for q in work.questions)
    assert all(len(work.counts) == 3 for work in others if work.image.startswith("relevance/"))


def index(folder: Path, images: int, names: int) -> Path:
    """As `benchmark_data` writes it, of names that are asked of every image."""
    (folder / "queries").mkdir(parents=True)
    pq.write_table(pa.table({"image": [f"lvis/{i:012d}.jpg" for i in range(images)]}), folder / "images.parquet")
    columns = {"query_id": [str(n) for n in range(names)], "text": [f"thing {n}" for n in range(names)]}
    shared = {"split": ["val"] * names, "image": ["lvis/"] * names}
    pq.write_table(pa.table(columns | shared), folder / "queries" / "lvis.parquet")
    return folder


def held(data: Path) -> int:
    """Bytes that a plan holds."""
    tracemalloc.start()
    works = plan(data)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(works[-1].questions) == pq.read_metadata(data / "queries" / "lvis.parquet").num_rows
    return size


def test_memory_grows_with_images_plus_names_not_with_their_product(tmp_path: Path) -> None:
    sizes = [held(index(tmp_path / f"{i}_{n}", i, n)) for i, n in ((500, 50), (500, 800), (1000, 50), (1000, 800))]
    few, names, images, both = sizes
    assert both - images < 1.5 * (names - few), "a name costs more where there are more images"
    assert both < 800 * (1000 + 800)
