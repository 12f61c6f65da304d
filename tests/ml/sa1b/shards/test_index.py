"""The index of good and of broken shards; nothing is lost in silence."""

import io
import json
import random
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_shards import annotation, jpeg, pair, record, rectangle, write_tar

from ml.errors import UserError
from ml.params import Quality
from ml.sa1b.reading.reader import decode, read_jpeg
from ml.sa1b.shards import index as index_module
from ml.sa1b.shards.index import Tally, build_index, read_tables
from ml.sa1b.shards.scan import Columns, Texts, scan
from ml.sa1b.shards.table import REJECTS, SCHEMA
from ml.workspace.report import Report

SAMPLE = Path(__file__).resolve().parents[5] / "shared/samples/sa1b"
LENIENT = Quality(max_reject_fraction=1.0)


def index(tar: Path, quality: Quality = LENIENT) -> tuple[list[dict], list[dict], Report]:
    out, rejects = tar.with_name("index.parquet"), tar.with_name("index.rejects.parquet")
    report = build_index(tar, out, rejects, quality)
    return pq.read_table(out).to_pylist(), pq.read_table(rejects).to_pylist(), report


def test_a_row_a_mask(shard: Path) -> None:
    rows, rejects, report = index(shard)
    assert [row["mask_id"] for row in rows] == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    assert rejects == []
    assert report.numbers == {"images": 3, "masks": 9, "rejected": 0}
    expected = record(1)["annotations"][1]
    assert rows[1]["counts"] == expected["segmentation"]["counts"]
    assert rows[1]["bbox"] == expected["bbox"]
    assert rows[1]["point_coords"] == expected["point_coords"]


def test_schema(shard: Path) -> None:
    index(shard)
    assert pq.read_schema(shard.with_name("index.parquet")).equals(SCHEMA)
    assert pq.read_schema(shard.with_name("index.rejects.parquet")).equals(REJECTS)


def test_offsets_lead_to_the_jpeg(shard: Path) -> None:
    rows, _, _ = index(shard)
    data = read_jpeg(shard, rows[3]["jpeg_offset"], rows[3]["jpeg_bytes"])
    assert data == jpeg(2)
    assert decode(data).shape == (rows[3]["height"], rows[3]["width"], 3)


def test_same_shard_same_bytes(shard: Path) -> None:
    index(shard)
    before = shard.with_name("index.parquet").read_bytes()
    index(shard)
    assert shard.with_name("index.parquet").read_bytes() == before


def test_any_order_of_members(tmp_path: Path) -> None:
    members = [member for i in (1, 2, 3) for member in pair(i)]
    random.Random(0).shuffle(members)
    rows, rejects, _ = index(write_tar(tmp_path / "a.tar", members))
    assert sorted(row["mask_id"] for row in rows) == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    assert rejects == []


def test_folders_in_names(tmp_path: Path) -> None:
    rows, rejects, _ = index(write_tar(tmp_path / "a.tar", [(f"./x/{name}", data) for name, data in pair(1)]))
    assert (len(rows), rejects) == (3, [])


def test_an_image_without_masks_is_no_error(tmp_path: Path) -> None:
    members = pair(1, lambda raw: raw.update(annotations=[]))
    rows, rejects, report = index(write_tar(tmp_path / "a.tar", members))
    assert (rows, rejects, report.numbers["images"]) == ([], [], 1)


def test_an_empty_mask_is_valid_data(tmp_path: Path) -> None:
    empty = annotation(rectangle(0, 0, 0, 0), 9)
    rows, rejects, _ = index(write_tar(tmp_path / "a.tar", pair(1, lambda raw: raw["annotations"].append(empty))))
    assert [row["area"] for row in rows] == [400, 42, 250, 0]
    assert rejects == []


JSON = json.dumps(record(2)).encode()


def framed(*, bits: int = 8, side: int = 0) -> bytes:
    """A JPEG whose frame header claims something else."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 4] = bits
    if side:
        data[at + 5 : at + 9] = side.to_bytes(2, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("members", "member", "reason"),
    [
        ([("sa_2.jpg", jpeg())], "sa_2.jpg", "no .json of this name in the archive"),
        ([("sa_2.json", JSON)], "sa_2.json", "no .jpg of this name in the archive"),
        ([("README", b"hello")], "README", "neither .jpg nor .json"),
        (pair(1), "sa_1.jpg", "a second member of this name"),
        ([("sa_2.jpg", b"GIF89a"), ("sa_2.json", JSON)], "sa_2.jpg", "a GIF, not a JPEG"),
        ([("sa_2.jpg", jpeg()[:-300]), ("sa_2.json", JSON)], "sa_2.jpg", "the JPEG is cut: no end marker"),
        ([("sa_2.jpg", jpeg(height=31)), ("sa_2.json", JSON)], "sa_2.json", "not the JPEG's width and height"),
        ([("sa_2.jpg", jpeg()), ("sa_2.json", JSON[:-9])], "sa_2.json", "not JSON"),
        ([("sa_7.jpg", jpeg()), ("sa_7.json", JSON)], "sa_7.json", "not the member's name sa_7.jpg"),
        (pair(2, lambda raw: raw["image"].update(image_id=1)), "sa_2.json", "a second image with this id"),
        ([("../sa_2.jpg", jpeg())], "../sa_2.jpg", "a path that is absolute or leaves the archive"),
        ([("/sa_2.jpg", jpeg())], "/sa_2.jpg", "a path that is absolute or leaves the archive"),
        (pair(2, lambda raw: raw["image"].update(image_id=7)), "sa_2.json", "not the number in sa_2.jpg"),
        ([("sa_2.jpg", framed(bits=16)), ("sa_2.json", JSON)], "sa_2.jpg", "a JPEG of 16 bits a sample, not 8"),
        ([("sa_2.jpg", framed(side=30000)), ("sa_2.json", JSON)], "sa_2.jpg", "a JPEG of 30000 x 30000 pixels"),
        ([("sa_2.jpg", jpeg()), ("sa_2.json", b"\xff" + JSON)], "sa_2.json", "not UTF-8"),
        ([("sa_2.jpg", jpeg()), ("sa_2.json", JSON.decode().encode("utf-16"))], "sa_2.json", "not UTF-8"),
        ([("sa_2.jpg", jpeg()), ("sa_2.json", b"")], "sa_2.json", "not JSON"),
        (pair(2, lambda raw: raw.pop("image")), "sa_2.json", "missing"),
        (pair(2, lambda raw: raw["image"].pop("width")), "sa_2.json", "missing"),
        (pair(2, lambda raw: raw.pop("annotations")), "sa_2.json", "not a list"),
    ],
)
def test_a_broken_image_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, members: list[tuple[str, bytes]], member: str, reason: str
) -> None:
    rows, rejects, report = index(write_tar(tmp_path / "a.tar", [*pair(1), *members, *pair(3)]))
    assert [row["mask_id"] for row in rows] == [10, 11, 12, 30, 31, 32]
    assert (rejects[0]["member"], rejects[0]["reason"]) == (member, reason)
    assert report.rejected[reason] >= 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a symbolic link, not a file"),
        (tarfile.LNKTYPE, "a hard link, not a file"),
        (tarfile.CHRTYPE, "a device, not a file"),
        (tarfile.FIFOTYPE, "a pipe, not a file"),
    ],
)
def test_a_link_or_device_is_rejected_and_never_followed(tmp_path: Path, kind: bytes, reason: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in pair(1):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("sa_2.jpg")
        link.type, link.linkname = kind, "sa_1.jpg"
        tar.addfile(link)
    rows, rejects, _ = index(tmp_path / "a.tar")
    assert len(rows) == 3
    assert [(reject["member"], reject["reason"]) for reject in rejects] == [("sa_2.jpg", reason)]


@pytest.mark.parametrize("size", [2**27, 2**70])
def test_a_json_that_is_no_json_by_its_size(tmp_path: Path, size: int) -> None:
    """A hole of 128 MB, which takes no room on the disk, and a size beyond all disks: neither is read."""
    tar = write_tar(tmp_path / "a.tar", [*pair(1), ("sa_2.jpg", jpeg())])
    info = tarfile.TarInfo("sa_2.json")
    info.size = size
    data = tar.read_bytes()
    end = data.rindex(b"\xff\xd9") // 512 * 512 + 512
    tar.write_bytes(data[:end] + info.tobuf(tarfile.GNU_FORMAT))
    with tar.open("r+b") as file:
        file.truncate(end + 512 + min(size, 2**27) + 1024)
    tracemalloc.start()
    if size == 2**27:
        rows, rejects, _ = index(tar)
        assert len(rows) == 3
        assert [reject["reason"] for reject in rejects][:1] == ["a JSON of more than 16777216 bytes"]
    else:
        with pytest.raises(UserError, match="the archive is cut"):
            index(tar)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("options", [{"mode": "CMYK"}, {"mode": "L"}, {"mode": "RGB", "orientation": 6}])
def test_odd_but_readable_jpegs_are_kept(tmp_path: Path, options: dict[str, Any]) -> None:
    """Rotation in EXIF is not applied: the masks lie on the stored pixels."""
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = options.get("orientation", 1)
    PIL.Image.new(options["mode"], (48, 32)).save(file, "JPEG", exif=exif)
    rows, rejects, _ = index(write_tar(tmp_path / "a.tar", [("sa_2.jpg", file.getvalue()), ("sa_2.json", JSON)]))
    assert (len(rows), rejects) == (3, [])
    data = read_jpeg(tmp_path / "a.tar", rows[0]["jpeg_offset"], rows[0]["jpeg_bytes"])
    assert decode(data).shape == (32, 48, 3)


def test_a_broken_mask_is_rejected(tmp_path: Path) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["annotations"][0]["predicted_iou"] = float("nan")

    rows, rejects, _ = index(write_tar(tmp_path / "a.tar", pair(1, change)))
    assert [row["mask_id"] for row in rows] == [11, 12]
    found = {"member": "sa_1.json", "image_id": 1, "mask_id": 10, "field": "predicted_iou", "value": "nan"}
    assert rejects == [{**found, "reason": "not finite"}]


@pytest.mark.parametrize("border", [True, False])
def test_a_cut_shard_is_refused_since_nothing_tells_what_it_lost(tmp_path: Path, shard: Path, border: bool) -> None:
    data = shard.read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(data[: data.index(b"sa_3.json") + (0 if border else 700)])
    with pytest.raises(UserError, match=r"cut\.tar: the archive is cut: .* no end marker; run sa1b_shards"):
        index(cut)


def many(path: Path, count: int = 20) -> tuple[Path, list[int]]:
    """A shard of `count` images, and where its members' headers lie."""
    write_tar(path, [member for number in range(1, count + 1) for member in pair(number)])
    with tarfile.open(path) as tar:
        return path, [info.offset for info in tar]


def test_a_flipped_bit_in_a_header_costs_its_image_alone(tmp_path: Path) -> None:
    tar, headers = many(tmp_path / "a.tar")
    data = bytearray(tar.read_bytes())
    data[headers[4] + 100] ^= 1  # of sa_3's first member
    tar.write_bytes(data)
    rows, rejects, report = index(tar)
    assert {row["image_id"] for row in rows} == {*range(1, 21)} - {3}
    assert len(rejects) == report.numbers["rejected"] == 1
    assert rejects[0]["member"].startswith("sa_3.")


def test_a_hole_costs_as_many_images_as_its_bytes_held(tmp_path: Path) -> None:
    tar, headers = many(tmp_path / "a.tar")
    data = tar.read_bytes()
    tar.write_bytes(data[: headers[10]] + bytes(headers[20] - headers[10]) + data[headers[20] :])
    rows, rejects, _ = index(tar)
    assert {row["image_id"] for row in rows} == {*range(1, 6), *range(11, 21)}
    assert len(rejects) == pytest.approx(5, abs=3)  # by the mean size of the others, less what padding may be
    assert all("zeros where a header belongs" in reject["reason"] for reject in rejects)
    with pytest.raises(UserError, match=r"images .* are broken"):
        index(tar, Quality(max_reject_fraction=0.05))


def test_a_second_archive_behind_the_first_is_read_and_said(tmp_path: Path) -> None:
    first, second = write_tar(tmp_path / "a.tar", pair(1)), write_tar(tmp_path / "b.tar", pair(2))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    rows, rejects, _ = index(first)
    assert {row["image_id"] for row in rows} == {1, 2}
    assert len(rejects) == 1 and "two archives joined" in rejects[0]["reason"]


def test_what_macos_adds_is_named_and_counts_against_no_image(tmp_path: Path) -> None:
    extra = [(f"._{name}", b"\0\5\x16\7" + bytes(200)) for name, _ in pair(1)]
    tar = write_tar(tmp_path / "a.tar", [*extra, *pair(1)])
    rows, rejects, _ = index(tar, Quality(max_reject_fraction=0.0))
    assert {row["image_id"] for row in rows} == {1}
    assert {reject["member"] for reject in rejects} == {"._sa_1.jpg", "._sa_1.json"}


def test_a_shard_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not one image in it"):
        index(write_tar(tmp_path / "a.tar", []))


def test_too_much_rejected_fails_and_leaves_the_reasons(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", [*pair(1), ("sa_2.jpg", jpeg())])
    with pytest.raises(UserError, match=r"1 of 2 images \(50.0%\) are broken, 40.0% are allowed"):
        index(tar, Quality(max_reject_fraction=0.4))
    assert not tar.with_name("index.parquet").exists()
    assert pq.read_table(tar.with_name("index.rejects.parquet")).num_rows == 1
    index(tar, Quality(max_reject_fraction=0.5))


def test_too_many_masks_rejected_fails(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", [*pair(1, lambda raw: raw["annotations"][0].update(area=1)), *pair(2)])
    with pytest.raises(UserError, match="1 of 6 masks"):
        index(tar, Quality(max_reject_fraction=0.1))


def test_a_missing_shard(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not readable"):
        index(tmp_path / "none.tar")


def test_real_sample(tmp_path: Path) -> None:
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    tar = write_tar(tmp_path / "a.tar", [(name, (SAMPLE / name).read_bytes()) for name in ("sa_1.jpg", "sa_1.json")])
    rows, rejects, _ = index(tar)
    assert (len(rows), rejects) == (65, [])
    assert rows[0]["file_name"] == "sa_1.jpg"


def read(tar: Path) -> tuple[pa.Table, Tally]:
    tally = Tally()
    return pa.concat_tables([SCHEMA.empty_table(), *read_tables(tar, tally)]), tally


def nothing_understood(texts: Texts) -> Columns:
    return scan(Texts.join([b""] * len(texts)))


@pytest.mark.parametrize("batch", [1, 2000, 1 << 22])
def test_scanned_or_parsed_the_index_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Also where a batch holds both kinds, and images whose masks or JPEGs are refused."""
    monkeypatch.setattr(index_module, "BATCH", batch)
    rng, changes = random.Random(3), (lambda raw: None, *BREAKS)
    members = [member for i in range(1, 40) for member in pair(i, rng.choice(changes))]
    members[10] = (members[10][0], b"no JPEG")
    members[21] = (members[21][0], members[21][1][:-9])
    tar = write_tar(tmp_path / "a.tar", members)
    rows, tally = read(tar)
    monkeypatch.setattr(index_module, "scan", nothing_understood)
    assert read(tar) == (rows, tally)
    assert 39 > tally.images > 20
    assert 0 < len(rows) == tally.masks < tally.masks_present


BREAKS = (
    lambda raw: raw.update(extra=1),  # valid, but not as SA-1B writes it
    lambda raw: raw.update(annotations=[]),
    lambda raw: raw["annotations"][1].update(id=raw["annotations"][0]["id"]),
    lambda raw: raw["annotations"][2].update(area=7),
    lambda raw: raw["annotations"][0].update(stability_score=float("inf")),
    lambda raw: raw["image"].update(file_name="else.jpg"),
    lambda raw: raw["image"].update(image_id=1),
)
