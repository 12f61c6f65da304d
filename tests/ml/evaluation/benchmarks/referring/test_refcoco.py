"""RefCOCO readers: pickles that run nothing, refs that do not fit, and the CSV exports."""

import csv
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from ml.errors import UserError
from ml.evaluation.benchmarks.referring.plain_pickle import load_plain_pickle
from ml.evaluation.benchmarks.referring.refcoco import read_refcoco


class Malicious:
    """Unpickled the ordinary way, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    file = tmp_path / "refs(unc).p"
    file.write_bytes(pickle.dumps([{"ref_id": 1, "split": Malicious(trap)}]))
    with pytest.raises(UserError, match="no plain type"):
        load_plain_pickle(file)
    assert not trap.exists()
    pickle.loads(file.read_bytes())
    assert trap.exists()  # the pickle is a real attack: unpickled the ordinary way, it runs


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_types_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    value = [{"ref_id": 5, "score": 0.5, "box": (1, 2), "sent": "caf\u00e9", "none": None, "flag": True, "long": 2**70}]
    file = tmp_path / "refs.p"
    file.write_bytes(pickle.dumps(value, protocol))
    assert load_plain_pickle(file) == value


@pytest.mark.parametrize(
    "bytes_", [b"", b"\x80\x04", b"garbage", b"(", b"\x80\x02]q\x00(K\x01a", b"cos\nsystem\n(S'ls'\ntR."]
)
def test_malformed_pickles_give_one_line(tmp_path: Path, bytes_: bytes) -> None:
    file = tmp_path / "refs.p"
    file.write_bytes(bytes_)
    with pytest.raises(UserError) as error:
        load_plain_pickle(file)
    assert "\n" not in str(error.value) and "refs.p" in str(error.value)


def test_numpy_in_a_pickle_is_no_plain_type(tmp_path: Path) -> None:
    file = tmp_path / "refs.p"
    file.write_bytes(pickle.dumps([np.float64(1.0)]))
    with pytest.raises(UserError, match="numpy"):
        load_plain_pickle(file)


def test_refs_become_examples_with_box_and_mask(folders: dict[str, Path]) -> None:
    (benchmark,) = read_refcoco(folders["refcoco"])
    assert benchmark.name == "refcoco" and not benchmark.rejected
    assert {e.split for e in benchmark.examples} == {"val", "testA"} and len(benchmark.examples) == 12
    first = next(e for e in benchmark.examples if e.query_id == "0_0")
    assert first.image == "images/train2014/COCO_train2014_000000000000.jpg" and first.text == "red car"
    assert first.truth["boxes"] == [[8.0, 8.0, 30.0, 20.0]] and first.kind == "attribute"


def test_broken_refs_are_rejected_with_a_reason(folders: dict[str, Path]) -> None:
    folder = folders["refcoco"] / "refcoco"
    instances = json.loads((folder / "instances.json").read_text())
    instances["annotations"][0]["bbox"] = [100, 0, 60, 10]
    instances["annotations"][1]["segmentation"] = []
    instances["annotations"][2]["bbox"] = [1, 2, 0, 4]
    instances["annotations"][3]["segmentation"] = [[1, 2, 3]]
    del instances["annotations"][4]
    instances["images"][3]["file_name"] = "gone.jpg"
    (folder / "instances.json").write_text(json.dumps(instances))
    refs = load_plain_pickle(folder / "refs(unc).p")
    refs[6]["sentences"][0]["sent"] = " "
    refs[7]["sentences"] = None
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs))
    (benchmark,) = read_refcoco(folders["refcoco"])
    reasons = [reject.reason for reject in benchmark.rejected]
    assert reasons[:5] == [
        "box outside the image",
        "empty segmentation",
        "empty box",
        "a polygon is not 3 or more x, y pairs",
        "not in instances.json",
    ]
    assert reasons[5] == "empty text" and reasons[6].startswith("malformed ref")
    assert reasons[7:] == ["image is missing"] * 3
    assert len(benchmark.examples) == 2


@pytest.mark.parametrize("change", [{"height": None}, {"width": float("inf")}, {"file_name": ...}, {"height": ...}])
def test_refs_of_a_malformed_image_are_refused(folders: dict[str, Path], change: dict) -> None:
    path = folders["refcoco"] / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    image = instances["images"][0] | change
    instances["images"][0] = {name: value for name, value in image.items() if value is not ...}
    path.write_text(json.dumps(instances))
    (benchmark,) = read_refcoco(folders["refcoco"])
    assert [reject.field for reject in benchmark.rejected] == ["image"] * 3 and len(benchmark.examples) == 9
    assert benchmark.rejected[0].reason.startswith("malformed image")


def test_missing_files_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"refs\(unc\)\.p"):
        read_refcoco(tmp_path)
    (folders["refcoco"] / "refcoco" / "instances.json").unlink()
    with pytest.raises(UserError, match=r"instances\.json"):
        read_refcoco(folders["refcoco"])


def test_the_official_rows_are_read(samples: Path) -> None:
    benchmarks = {b.name: b for b in read_refcoco(samples / "refcoco")}
    assert {name: len(b.examples) for name, b in benchmarks.items()} == {"refcoco": 17, "refcoco+": 15, "refcocog": 4}
    assert not any(b.rejected for b in benchmarks.values())
    example = next(e for e in benchmarks["refcoco"].examples if e.text == "zebra in the middle")
    assert example.split == "testB" and example.truth["boxes"] == [[40.46, 192.98, 273.62, 139.17]]


def test_both_splits_of_refcocog_are_read_under_two_names(folders: dict[str, Path]) -> None:
    root = folders["refcoco"]
    (root / "refcoco").rename(root / "refcocog")
    pickled = root / "refcocog" / "refs(unc).p"
    with pytest.raises(UserError, match=r"found refs\(unc\)\.p, expected refs\(umd\)\.p or refs\(google\)\.p"):
        read_refcoco(root)
    (root / "refcocog" / "refs(umd).p").write_bytes(pickled.read_bytes())
    pickled.rename(root / "refcocog" / "refs(google).p")
    assert [benchmark.name for benchmark in read_refcoco(root)] == ["refcocog", "refcocog_google"]


def test_names_of_another_edition_are_told_from_missing_images(folders: dict[str, Path]) -> None:
    path = folders["refcoco"] / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    for image in instances["images"]:
        image["file_name"] = image["file_name"].removeprefix("COCO_train2014_")
    path.write_text(json.dumps(instances))
    (benchmark,) = read_refcoco(folders["refcoco"])
    assert {reject.reason for reject in benchmark.rejected} == {
        "a name of COCO 2017; RefCOCO's images are of train2014"
    }


def test_a_jsonl_export_is_read_as_the_csv_is(samples: Path, tmp_path: Path) -> None:
    for image in (samples / "refcoco").glob("*.jpg"):
        (tmp_path / image.name).symlink_to(image)
    source = samples / "refcoco" / "refcoco_unc_val.csv"
    with source.open(newline="") as file:
        rows = [{**row, "bbox": json.loads(row["bbox"])} for row in csv.DictReader(file)]
    (tmp_path / "refcoco_unc_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ours,) = read_refcoco(tmp_path)
    theirs = [e for e in read_refcoco(samples / "refcoco")[0].examples if e.split == "val"]
    assert ours.examples == theirs and len(theirs) == 9


def test_refs_beside_an_export_of_the_same_benchmark_are_refused(folders: dict[str, Path]) -> None:
    export = folders["refcoco"] / "refcoco_unc_val.jsonl"
    export.write_text("")
    with pytest.raises(UserError) as error:
        read_refcoco(folders["refcoco"])
    assert "refs(unc).p and " in str(error.value) and f"{export} both hold refcoco; " in str(error.value)
    export.rename(folders["refcoco"] / "refcoco_google_val.jsonl")  # another benchmark by name
    assert [b.name for b in read_refcoco(folders["refcoco"])] == ["refcoco", "refcoco_google"]


def test_another_releases_annotations_and_unknown_categories_are_refused(folders: dict[str, Path]) -> None:
    """Ids of one release mean other objects in another: without the check, wrong boxes would be the truth."""
    path = folders["refcoco"] / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    instances["categories"] = [{"id": 1, "name": "car"}]
    for item in instances["annotations"]:
        item["category_id"] = 1
    instances["annotations"][0]["image_id"] = 3
    instances["annotations"][1]["category_id"] = 91
    path.write_text(json.dumps(instances))
    (benchmark,) = read_refcoco(folders["refcoco"])
    assert [(reject.field, reject.reason) for reject in benchmark.rejected] == [
        ("ann_id", "of another image: instances.json of another release"),
        ("category_id", "unknown category_id"),
    ]
    assert len(benchmark.examples) == 10


@pytest.mark.parametrize(
    ("change", "lost", "reason"),
    [
        ({"ref_id": 1}, 1, "comes twice; the first stays"),
        ({"ref_id": [1]}, 1, "malformed ref (ref_id: no integer id)"),
        ({"ann_id": 0.5}, 1, "malformed ref (ann_id: no integer id)"),
        ({"image_id": True}, 1, "malformed ref (image_id: no integer id)"),
        ({"split": None}, 1, "malformed ref (split: no text)"),
        ({"sentences": []}, 0, "no sentence"),
        ({"sentences": [5]}, 1, "no dict"),
        ({"sentences": [{"sent_id": 1}]}, 1, "missing"),
        ({"sentences": [{"sent_id": 1, "sent": b"x"}]}, 1, "no text"),
    ],
)
def test_a_broken_ref_costs_its_own_sentences(folders: dict[str, Path], change: dict, lost: int, reason: str) -> None:
    path = folders["refcoco"] / "refcoco" / "refs(unc).p"
    refs = load_plain_pickle(path)
    path.write_bytes(pickle.dumps([*refs, refs[0] | {"ref_id": 1000} | change]))
    (benchmark,) = read_refcoco(folders["refcoco"])
    assert [reject.reason for reject in benchmark.rejected] == [reason]
    assert len(benchmark.examples) == 12 and benchmark.lost == lost


def test_rows_of_instances_are_looked_at_one_by_one(folders: dict[str, Path]) -> None:
    path = folders["refcoco"] / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    first = instances["annotations"][0]
    instances["annotations"] += [5, first, first | {"bbox": [1, 2, 3, 4]}, {"id": 900}, {"id": 901, "image_id": [1]}]
    instances["annotations"][1]["bbox"] = [60, 40, 100, 80]  # corners
    instances["annotations"][2]["segmentation"] = [[0, 0, 0.1, 0, 0.1, 0.1]]
    instances["images"][3]["file_name"] = "/etc/hostname"
    path.write_text(json.dumps(instances))
    (benchmark,) = read_refcoco(folders["refcoco"])
    assert [reject.reason for reject in benchmark.rejected] == [
        "no object",
        "the same row twice",
        "comes twice; the first stays",
        "missing",
        "no integer id",
        "box outside the image",
        "empty mask",
        *["a path that leaves the benchmark's folder"] * 3,
    ]
    assert len(benchmark.examples) == 7 and benchmark.lost == 5
