"""Shards changed in thousands of ways: no crash, nothing lost in silence, and little memory."""

import random
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json
from tiny_shards import pair, record, write_tar

from ml.errors import UserError
from ml.sa1b.shards.annotations import Reject
from ml.sa1b.shards.index import Tally, read_tables
from ml.sa1b.shards.tar import walk

VALUES = [None, True, -1, 0, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), "", "sa_1.jpg", "é", [], {}, [[]], b"\\"]
NAMES = ["../sa_1.jpg", "/sa_1.json", "sa_1", "sa_2.jpg", "sa_1.JSON", "x" * 200 + ".jpg", "a/sa_1.jpg", "\n.json"]
ROOM = 1 << 24  # bytes; the shard itself has 13 kB


def scramble(data: bytes, rng: random.Random) -> bytes:
    """Overwrite, cut out, repeat or cut off a stretch."""
    at, length = rng.randrange(len(data)), rng.choice([1, 2, 8, 100, 600])
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at] + rng.randbytes(length) + data[at + length :]
    if kind == 1:
        return data[:at] + data[at + length :]
    if kind == 2:
        return data[:at] + data[at : at + length] + data[at:]
    return data[:at]


def edit(raw: Any, rng: random.Random) -> Any:
    """Replace, drop or add one value somewhere in a JSON."""
    if not isinstance(raw, dict | list) or not raw or rng.random() < 0.15:
        return rng.choice(VALUES)
    key = rng.choice(list(raw) if isinstance(raw, dict) else range(len(raw)))
    kind = rng.random()
    if kind < 0.1:
        del raw[key]
    elif kind < 0.2 and isinstance(raw, list):
        raw.append(raw[key])
    elif kind < 0.2:
        raw[rng.choice(["extra", "id", "area"])] = rng.choice(VALUES)
    else:
        raw[key] = edit(raw[key], rng)
    return raw


def rebuild(path: Path, rng: random.Random) -> None:
    """Write three pairs with one JSON, name, kind, order or JPEG changed."""
    members = [member for i in (1, 2, 3) for member in pair(i)]
    chosen, kind = rng.randrange(6), rng.randrange(6)
    name, data = members[chosen]
    if kind < 3:
        raw = edit(record(chosen // 2 + 1), rng)
        members[chosen // 2 * 2 + 1] = f"sa_{chosen // 2 + 1}.json", to_json(raw, inf_nan_mode="constants")
    elif kind == 3:
        members[chosen] = rng.choice(NAMES), data
    elif kind == 4:
        members.insert(rng.randrange(7), (name, scramble(data, rng)))
    else:
        members[chosen] = name, scramble(data, rng)
    write_tar(path, members, rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))


def check(tar: Path) -> Tally:
    """Every member leads to an image or to a reject; every annotation to a row or to a reject."""
    tally = Tally()
    try:
        rows = [row for table in read_tables(tar, tally) for row in table.to_pylist()]
    except UserError as error:  # cut: nothing tells what is lost
        assert "cut" in str(error) or "not a tar" in str(error)
        tally.rejects.append(Reject("", "refused"))
        return tally
    assert len(rows) == tally.masks
    named = {reject.member.rpartition(".")[0] for reject in tally.rejects}
    files = [member for member in walk(tar) if member.name and (not member.name.endswith("/") or member.fault)]
    texts = [member for member in files if member.name.endswith(".json") and not member.fault]
    kept = {row["file_name"].removesuffix(".jpg") for row in rows}
    for member in files:
        stem = member.name.rpartition(".")[0]
        assert stem in named or stem.rpartition("/")[2] in kept or empty(tar, member.offset, member.size)
    whole = sum(present(tar, text.offset, text.size) for text in texts if text.name.rpartition(".")[0] not in named)
    partly = [reject for reject in tally.rejects if is_mask(reject)]
    assert len(rows) + len(partly) == tally.masks_present
    assert len([row for row in rows if row["file_name"].removesuffix(".jpg") not in named]) == whole
    return tally


def is_mask(reject: Reject) -> bool:
    """Whether it refuses an annotation, not an image or member."""
    whole = not reject.field or reject.field.startswith("image.") or reject.reason == "not a list"
    return reject.image_id is not None and not whole


def present(tar: Path, offset: int, size: int) -> int:
    return len(from_json(tar.read_bytes()[offset : offset + size])["annotations"])


def empty(tar: Path, offset: int, size: int) -> bool:
    """Whether the member belongs to an image without annotations: its JSON says so, its JPEG can't."""
    data = tar.read_bytes()[offset : offset + size]
    return data[:2] == b"\xff\xd8" or from_json(data)["annotations"] == []


@pytest.mark.parametrize("tries", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_change_crashes_loses_a_mask_or_takes_memory(tmp_path: Path, shard: Path, tries: int) -> None:
    data, rng, tar = shard.read_bytes(), random.Random(7), tmp_path / "mutated.tar"
    data = data[: -(len(data) % 10240 or 10240) + 1024]  # less padding to hit
    check(shard)
    tracemalloc.start()
    refused = 0
    for number in range(tries):
        if number % 2:
            tar.write_bytes(scramble(data, rng))
        else:
            rebuild(tar, rng)
        refused += bool(check(tar).rejects)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ROOM
    assert tries // 2 < refused < tries
