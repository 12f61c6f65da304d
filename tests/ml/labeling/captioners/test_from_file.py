"""Captions out of files as people and programs leave them: every row is used, unused, or refused with its reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.errors import UserError
from ml.labeling.captioners.from_file import FileCaptioner, read_captions
from ml.labeling.kept import read_kept

Row = dict[str, Any]
ALL = 1.0  # limit: every row may be refused


@pytest.fixture(scope="session")
def rows(shard: Any) -> list[Row]:
    """A good caption for every kept mask."""
    ids = [(image.image_id, row["mask_id"]) for image in read_kept(shard.kept) for row in image.rows]
    return [{"image_id": image, "mask_id": mask, "text": f"a red car {mask}"} for image, mask in ids]


def as_jsonl(folder: Path, rows: list[Row]) -> Path:
    path = folder / "captions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_parquet(folder: Path, rows: list[Row]) -> Path:
    path = folder / "captions.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=16)
    return path


@pytest.mark.parametrize("write", [as_jsonl, as_parquet])
def test_every_mask_gets_its_own_caption(
    write: Callable[..., Path], rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    captioner = FileCaptioner(read_captions(write(tmp_path, rows[::-1]), shard.kept, [], 0.0))
    said = captioner.caption(batch)
    assert said.masks == [row["text"] for row in rows]
    assert said.images == [""] * len(batch) and said.embeddings is None
    report = captioner.report()
    assert report.rejected == {}
    assert report.numbers == {
        "masks asked": len(rows),
        "masks with a caption": len(rows),
        "caption rows": len(rows),
        "caption rows unused": 0,
        "caption rows refused": 0,
    }


@pytest.mark.parametrize("write", [as_jsonl, as_parquet])
def test_coverage_is_told_and_the_counts_add_up(
    write: Callable[..., Path], rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    given = [*rows[10:], {**rows[0], "mask_id": 2**40}, {**rows[0], "image_id": 2**50}, {**rows[11], "text": "a boat"}]
    captioner = FileCaptioner(read_captions(write(tmp_path, given), shard.kept, [], ALL))
    said = captioner.caption(batch)
    assert said.masks == [None] * 10 + [row["text"] for row in rows[10:]]  # of two captions, the first
    report = captioner.report()
    assert report.rejected == {"caption row: a second caption of its mask": 1, "no caption in the file": 10}
    numbers = report.numbers
    assert numbers["caption rows"] == len(given)
    assert numbers["masks with a caption"] + numbers["caption rows unused"] + 1 == len(given)
    assert numbers["caption rows of masks that are not kept"] == 1
    assert numbers["caption rows of images that are in no shard"] == 1


BAD_TEXTS = [
    ("", "empty"),
    ("  ", "empty"),
    ("a car " * 1000, "endless, more than 2,000 letters"),
    ("🚗", "no word in it"),
    ("ein rotes Auto", "no English word in it"),
    ("a car\0", "a NUL byte in the text"),
    (None, "text is missing"),
]


@pytest.mark.parametrize("write", [as_jsonl, as_parquet])
@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS)
def test_a_text_that_is_no_caption_is_refused_with_its_reason(
    write: Callable[..., Path], text: Any, reason: str, rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    given = [*rows[:3], {**rows[3], "text": text}, *rows[4:]]
    captioner = FileCaptioner(read_captions(write(tmp_path, given), shard.kept, [], 0.1))
    assert captioner.caption(batch).masks[2:5] == [rows[2]["text"], None, rows[4]["text"]]
    report = captioner.report()
    assert report.rejected == {f"caption row: {reason}": 1, "no caption in the file": 1}
    assert report.tables["refused captions"][0]["row"] == 4
    assert report.numbers["caption rows"] == len(rows)


LINES = [
    ('{"image_id": NaN, "mask_id": 1, "text": "a car"}', "image_id: no integer id"),
    ('{"image_id": null, "mask_id": 1, "text": "a car"}', "image_id is missing"),
    ('{"mask_id": 1, "text": "a car"}', "image_id is missing"),
    ('{"image_id": 1.5, "mask_id": 1, "text": "a car"}', "image_id: no integer id"),
    ('{"image_id": true, "mask_id": 1, "text": "a car"}', "image_id: no integer id"),
    ('{"image_id": [1], "mask_id": 1, "text": "a car"}', "image_id: no integer id"),
    ('{"image_id": ' + "9" * 5000 + ', "mask_id": 1, "text": "a car"}', "image_id: no integer id"),
    ('{"image_id": IMAGE, "text": "a car"}', "mask_id is missing"),
    ('{"image_id": IMAGE, "mask_id": NaN, "text": "a car"}', "mask_id: no integer id"),
    ('{"image_id": IMAGE, "mask_id": "one", "text": "a car"}', "mask_id: no integer id"),
    ('{"image_id": IMAGE, "mask_id": MASK}', "text is missing"),
    ('{"image_id": IMAGE, "mask_id": MASK, "text": 5}', "no text"),
    ('{"image_id": IMAGE, "mask_id": MASK, "text": ["a car"]}', "no text"),
    ('{"image_id": IMAGE, "mask_id": MASK, "text": "\\ud800 car"}', "not valid Unicode"),
    ('{"image_id": IMAGE, "mask_id": MASK, "text": "a car", "text": "a boat"}', "no JSON object"),
    ('{"image_id": IMAGE, "mask_id"', "no JSON object"),
    ("[" * 100_000, "no JSON object"),
    ("a red car", "no JSON object"),
    ("[1, 2]", "no JSON object"),
    ("null", "no JSON object"),
]


@pytest.mark.parametrize(("line", "reason"), LINES, ids=[line[:60] for line, _ in LINES])
def test_a_bad_line_is_refused_with_its_reason(
    line: str, reason: str, rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    last = rows[-1]
    path = as_jsonl(tmp_path, rows[:-1])
    line = line.replace("IMAGE", str(last["image_id"])).replace("MASK", str(last["mask_id"]))
    path.write_text(f"{path.read_text()}\n{line}")
    found = read_captions(path, shard.kept, [], 0.1)
    assert [(row.row, row.reason) for row in found.refused] == [(len(rows) + 1, reason)]
    assert len(found.refused[0].found) <= 80
    assert found.rows == len(rows)
    assert FileCaptioner(found).caption(batch).masks == [row["text"] for row in rows[:-1]] + [None]


def test_ids_that_a_table_made_of_integers_floats_or_texts_are_read(
    rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    """As pandas leaves integers where one is missing."""
    frame = pd.DataFrame(rows).astype({"image_id": "float64", "mask_id": "str"})
    frame.loc[0, "image_id"] = float("nan")
    frame.to_parquet(tmp_path / "captions.parquet")
    found = read_captions(tmp_path / "captions.parquet", shard.kept, [], 0.1)
    assert [row.reason for row in found.refused] in (["image_id: no integer id"], ["image_id is missing"])
    assert FileCaptioner(found).caption(batch).masks == [None] + [row["text"] for row in rows[1:]]


def test_text_in_parquet_that_is_not_utf_8_costs_its_row(
    rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    texts = [row["text"].encode() for row in rows]
    texts[2] = "ein grüner Ball".encode("latin-1")
    buffer = pa.array(texts, pa.binary()).buffers()
    table = pa.table(
        {
            "image_id": [row["image_id"] for row in rows],
            "mask_id": [row["mask_id"] for row in rows],
            "text": pa.Array.from_buffers(pa.string(), len(rows), buffer),
        }
    )
    pq.write_table(table, tmp_path / "captions.parquet")
    found = read_captions(tmp_path / "captions.parquet", shard.kept, [], 0.1)
    assert [(row.row, row.reason) for row in found.refused] == [(3, "no text")]
    assert len(found.texts) == len(rows) - 1


def test_of_several_shards_each_row_is_counted_once(rows: list[Row], shard: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    images = sorted({row["image_id"] for row in rows})
    kept = pq.read_table(shard.kept)
    mine = tmp_path / "mine.parquet"
    pq.write_table(kept.filter(pa.compute.equal(kept["image_id"], images[0])), other)
    pq.write_table(kept.filter(pa.compute.not_equal(kept["image_id"], images[0])), mine)
    given = [*rows, {**rows[0], "image_id": 2**50}, {**rows[0], "image_id": None}, {**rows[0], "text": ""}]
    for path in (as_jsonl(tmp_path, given), as_parquet(tmp_path, given)):
        first, second = read_captions(path, mine, [other], ALL), read_captions(path, other, None, ALL)
        assert first.rows + second.rows == len(given)
        assert len(first.texts) + len(second.texts) == len(rows)
        assert [row.reason for row in first.refused] == ["image_id is missing"]
        assert [row.reason for row in second.refused] == ["a second caption of its mask"]
        assert dict(first.unused) == {"rows of images that are in no shard": 1} and not second.unused


def test_rows_of_an_image_that_cannot_be_decoded_are_unused(
    rows: list[Row], shard: Any, batch: list[Any], tmp_path: Path
) -> None:
    captioner = FileCaptioner(read_captions(as_jsonl(tmp_path, rows), shard.kept, [], 0.0))
    captioner.caption(batch[1:])
    lost = len(batch[0][0].rows)
    numbers = captioner.report().numbers
    assert numbers["caption rows of images that can't be decoded"] == numbers["caption rows unused"] == lost
    assert numbers["masks with a caption"] + lost == numbers["caption rows"]


def no_file(folder: Path, rows: list[Row]) -> Path:
    return folder / "nowhere.jsonl"


def folder(folder: Path, rows: list[Row]) -> Path:
    return folder


def empty(folder: Path, rows: list[Row]) -> Path:
    (folder / "captions.jsonl").write_bytes(b"")
    return folder / "captions.jsonl"


def blank(folder: Path, rows: list[Row]) -> Path:
    (folder / "captions.jsonl").write_bytes(b"\n \n")
    return folder / "captions.jsonl"


def no_rows(folder: Path, rows: list[Row]) -> Path:
    schema = pa.schema({"image_id": pa.int64(), "mask_id": pa.int64(), "text": pa.string()})
    pq.write_table(schema.empty_table(), folder / "captions.parquet")
    return folder / "captions.parquet"


def latin(folder: Path, rows: list[Row]) -> Path:
    path = as_jsonl(folder, rows)
    path.write_bytes(path.read_bytes() + '{"text": "grün"}'.encode("latin-1"))
    return path


def utf_16(folder: Path, rows: list[Row]) -> Path:
    path = as_jsonl(folder, rows)
    path.write_text(path.read_text(), encoding="utf-16")
    return path


def no_column(folder: Path, rows: list[Row]) -> Path:
    return as_parquet(folder, [{"image_id": 1, "mask_id": 1, "caption": "a car"}])


def two_columns(folder: Path, rows: list[Row]) -> Path:
    names = ["image_id", "mask_id", "text", "text"]
    pq.write_table(pa.Table.from_arrays([[1], [1], ["a"], ["b"]], names), folder / "captions.parquet")
    return folder / "captions.parquet"


def half(folder: Path, rows: list[Row]) -> Path:
    path = as_parquet(folder, rows)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def damaged(folder: Path, rows: list[Row]) -> Path:
    path = as_parquet(folder, rows)
    data = bytearray(path.read_bytes())
    data[8:200] = b"\xff" * 192
    path.write_bytes(data)
    return path


def archive(folder: Path, rows: list[Row]) -> Path:
    (folder / "captions.jsonl").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff\xff" * 9)
    return folder / "captions.jsonl"


def unread(folder: Path, rows: list[Row]) -> Path:
    return as_jsonl(folder, [{"image": row["image_id"], "mask": row["mask_id"], "caption": "a car"} for row in rows])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (no_file, "is no file; a row a mask is wanted, with image_id, mask_id and text"),
        (folder, "is no file"),
        (empty, "no row in it"),
        (blank, "no row in it"),
        (no_rows, "no row in it"),
        (latin, "not readable as UTF-8"),
        (utf_16, "not readable as UTF-8"),
        (archive, "not readable as UTF-8"),
        (no_column, "column text is missing, found image_id, mask_id, caption"),
        (two_columns, "column text is twice"),
        (half, "not readable as Parquet"),
        (damaged, "not readable as Parquet"),
        (unread, "rows are refused .* x image_id is missing; row 1: .*5.0% are allowed"),
    ],
)
def test_a_file_of_no_use_is_one_line(
    write: Callable[..., Path], words: str, rows: list[Row], shard: Any, tmp_path: Path
) -> None:
    path = write(tmp_path, rows)
    with pytest.raises(UserError, match=words) as error:
        read_captions(path, shard.kept, [], 0.05)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_row_groups_of_other_shards_are_passed_over(
    rows: list[Row], shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = [{**row, "image_id": row["image_id"] + 10**9} for row in rows] * 20
    path = tmp_path / "captions.parquet"
    pq.write_table(pa.Table.from_pylist([*far, *rows]), path, row_group_size=len(rows))
    read: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def counted(self: pq.ParquetFile, *given: Any, row_groups: Any = None, **named: Any) -> Any:
        read.extend(row_groups or ())
        return whole(self, *given, row_groups=row_groups, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    found = read_captions(path, shard.kept, None, 0.0)
    assert len(found.texts) == len(rows) and read == [20]
    bad = [*far, *({**row, "text": ""} for row in rows)]
    pq.write_table(pa.Table.from_pylist(bad), path, row_group_size=len(rows))
    assert read_captions(path, shard.kept, None, ALL).refused[0].row == len(far) + 1
