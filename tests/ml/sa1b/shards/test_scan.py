"""The scan against the careful parser: whatever it accepts, the parser accepts with the same values."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_shards import annotation, record, rectangle

from ml.sa1b.shards.annotations import Image, parse
from ml.sa1b.shards.scan import Columns, Texts, scan

SAMPLE = Path(__file__).resolve().parents[5] / "shared/samples/sa1b/sa_1.json"


def rows(found: Columns, image: int) -> list[dict[str, Any]]:
    """An image's masks in the columns as the parser's rows."""
    out = []
    for n in range(found.rows[image], found.rows[image + 1]):
        text, points = (slice(ends[n], ends[n + 1]) for ends in (found.text_ends, found.point_ends))
        out.append(
            {
                "mask_id": int(found.ids[n]),
                "counts": found.text[text].tobytes().decode(),
                "bbox": found.boxes.reshape(-1, 4)[n].tolist(),
                "area": found.areas[n],
                "predicted_iou": found.ious[n],
                "stability_score": found.stabilities[n],
                "point_coords": found.points.reshape(-1, 2)[points].tolist(),
                "crop_box": found.crops.reshape(-1, 4)[n].tolist(),
            }
        )
    return out


def understood(*texts: bytes) -> list[bool]:
    """Which texts of a batch are scanned; checks that the parser says the same of them."""
    joined = Texts.join(texts)
    found = scan(joined)
    for i, data in enumerate(texts):
        if found.understood[i]:
            image = parse(data, "sa_1.json")
            assert isinstance(image, Image)
            assert image.rejects == []
            name = joined.data[slice(*found.names[i])].tobytes().decode()
            assert (*found.heads[i], name) == (image.image_id, image.width, image.height, image.file_name)
            assert rows(found, i) == image.rows
    return found.understood.tolist()


def agrees(data: bytes) -> bool:
    """Whether a text is scanned, and like the parser reads it."""
    return understood(data)[0]


def test_what_sa1b_writes_is_scanned() -> None:
    assert agrees(json.dumps(record(1)).encode())
    assert agrees(json.dumps(record(1), indent=2).encode())
    assert agrees(json.dumps(record(1), separators=(",", ":"), sort_keys=False).encode())
    assert agrees(json.dumps(record(1, [])).encode())
    assert agrees(json.dumps(record(1, [annotation(rectangle(0, 0, 0, 0), 7)])).encode())


def test_real_sample() -> None:
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    assert agrees(SAMPLE.read_bytes())


SCORE = st.floats(0, 1.2) | st.integers(0, 1) | st.floats(0, 1).map(lambda value: round(value, 3))


@settings(max_examples=200, deadline=None)
@given(SCORE, SCORE, st.lists(st.tuples(st.floats(-9, 2e4), st.floats(0, 2e4)), max_size=3), st.integers(0, 2**63 - 1))
def test_numbers_are_rounded_as_python_rounds_them(
    iou: float, stability: float, points: list[tuple[float, float]], mask_id: int
) -> None:
    changes = {"predicted_iou": iou, "stability_score": stability, "point_coords": points, "id": mask_id}
    agrees(json.dumps(record(1, [annotation(rectangle(1, 2, 3, 4), 5, **changes)])).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(extra=1),
        lambda raw: raw["image"].update(license=1),
        lambda raw: raw["image"].pop("width"),
        lambda raw: raw["image"].update(file_name="sä_1.jpg"),
        lambda raw: raw["image"].update(width=70000),
        lambda raw: raw["annotations"][0].update(area=401),
        lambda raw: raw["annotations"][0].update(bbox=[0.0, 3.0, 19.0, 19.0]),
        lambda raw: raw["annotations"][0].update(bbox=[2.0, 3.0, 19.0]),
        lambda raw: raw["annotations"][0].update(predicted_iou=float("nan")),
        lambda raw: raw["annotations"][0].update(predicted_iou=1e-9),
        lambda raw: raw["annotations"][0].update(predicted_iou=True),
        lambda raw: raw["annotations"][0].update(stability_score=12345678901234567.5),
        lambda raw: raw["annotations"][0].update(id=11),
        lambda raw: raw["annotations"][0].update(id=1.0),
        lambda raw: raw["annotations"][0].update(id=-1),
        lambda raw: raw["image"].update(image_id=-1),
        lambda raw: raw["annotations"][0].pop("crop_box"),
        lambda raw: raw["annotations"][0]["segmentation"].update(size=[48, 32]),
        lambda raw: raw["annotations"][0]["segmentation"].update(counts="0é"),
        lambda raw: raw["annotations"][0]["segmentation"].update(counts=[1, 2]),
    ],
)
def test_all_else_is_left_to_the_careful_parser(change: Callable[[dict[str, Any]], object]) -> None:
    raw = record(1)
    change(raw)
    assert not agrees(json.dumps(raw).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"image": 1}', b"\0", b'{"annotations": []}', b"{}x"])
def test_no_json_of_this_kind(data: bytes) -> None:
    assert not agrees(data)


@pytest.mark.parametrize("tries", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_no_mutation_is_accepted_that_the_parser_refuses(tries: int) -> None:
    data, rng, scanned = json.dumps(record(1)).encode(), random.Random(5), 0
    for _ in range(tries):
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 3)):
            changed[rng.randrange(len(changed))] = rng.choice(b' 0159.-+eE,:[]{}"\\OPX`o~\x00\xff')
        scanned += agrees(bytes(changed[: rng.choice([len(changed)] * 9 + [rng.randrange(len(changed))])]))
    assert 0 < scanned < tries
