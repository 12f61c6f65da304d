"""What all readers share: images stay in their folder, and of two rows with one id the first stays."""

from pathlib import Path

import pytest

from ml.evaluation.benchmarks.benchmark import Benchmark, Example, RefusedError, find_image, keyed


def test_an_image_is_found_where_it_lies_or_a_link_leads(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "benchmark", tmp_path / "disk"
    (folder / "val").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (folder / "val" / "1.jpg", elsewhere / "2.jpg", folder / "..jpg"):
        path.write_bytes(b"")
    (folder / "train").symlink_to(elsewhere)
    assert find_image(folder, ["1.jpg", "val/1.jpg"]) == "val/1.jpg"
    assert find_image(folder, ["val//./1.jpg"]) == "val/1.jpg"
    assert find_image(folder, ["train/2.jpg"]) == "train/2.jpg"
    assert find_image(folder, ["..jpg"]) == "..jpg"
    assert find_image(folder, ["x" * 5000, "val", "a/" * 5000, "\ud800"]) is None


@pytest.mark.parametrize(
    "path",
    ["../disk/2.jpg", "/etc/hostname", "val/../../disk/2.jpg", "val/..", "..", "C:/2.jpg", "..\\2.jpg", "2\0.jpg"],
)
def test_no_path_leaves_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(RefusedError, match="leaves the benchmark's folder"):
        find_image(tmp_path, ["1.jpg", path])


def test_the_first_of_two_questions_with_one_id_stays() -> None:
    benchmark = Benchmark("some")
    first, second = (Example("1", "val", "a.jpg", None, text, "other", {}) for text in ("a cat", "a dog"))
    for example in (first, second, Example(**vars(first))):
        benchmark.add(example)
    assert benchmark.examples == [first] and benchmark.lost == 1
    assert [reject.reason for reject in benchmark.rejected] == ["comes twice; the first stays", "the same row twice"]


def test_rows_are_keyed_and_what_is_none_is_counted() -> None:
    benchmark = Benchmark("some")
    rows = [{"id": 1}, {"id": 1.0, "a": 2}, {"id": "2"}, {"id": [3]}, {}, 5, {"id": 1}]
    assert keyed(benchmark, rows, "row") == {1: {"id": 1}, 2: {"id": "2"}}
    assert [(reject.item, reject.reason) for reject in benchmark.rejected] == [
        ("row 1", "comes twice; the first stays"),
        ("row at 3", "no integer id"),
        ("row at 4", "missing"),
        ("row at 5", "no object"),
        ("row 1", "the same row twice"),
    ]
    assert benchmark.lost == 4


def test_a_reject_is_short_whatever_was_found() -> None:
    benchmark = Benchmark("some")
    benchmark.refuse("x" * 1000, "id", ["x" * 1000] * 1000, f"because {'x' * 1000}\n")
    (reject,) = benchmark.rejected
    assert all(len(part) <= 120 and "\n" not in part for part in vars(reject).values())
