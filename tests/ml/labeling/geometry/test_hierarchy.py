"""Levels and parents of drawn scenes whose hierarchy is known, and of the rules one by one."""

import json
from pathlib import Path

import numpy as np
import pytest

from ml.labeling.geometry.hierarchy import LEVELS, area_quartiles, assign
from ml.masks import Masks
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from ml.workspace.settings import preset

SAMPLE = Path(__file__).resolve().parents[5] / "shared/samples/sa1b/sa_1.json"
PARAMS = preset("toytown").filter
QUARTILES = PARAMS.model_copy(update={"hierarchy": "area_quartiles"})


def rectangles(*boxes: tuple[int, int, int, int]) -> Masks:
    dense = np.zeros((len(boxes), 100, 100), bool)
    for mask, (x, y, w, h) in zip(dense, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    return Masks.from_dense(dense)


def levels(*boxes: tuple[int, int, int, int]) -> list[str]:
    return assign(rectangles(*boxes), PARAMS)[0]


def test_the_parent_is_the_smallest_container() -> None:
    _, parents = assign(rectangles((10, 10, 60, 60), (20, 20, 30, 30), (25, 25, 5, 5), (80, 80, 10, 10)), PARAMS)
    assert parents.tolist() == [-1, 0, 1, -1]


def test_little_may_stick_out_of_a_parent() -> None:
    boxes = rectangles((10, 10, 40, 40), (41, 20, 10, 5), (45, 30, 10, 5))
    assert assign(boxes, PARAMS)[1].tolist() == [-1, 0, -1]


def test_parts_lie_in_objects_and_in_parts() -> None:
    assert levels((10, 10, 60, 60), (20, 20, 30, 30), (25, 25, 5, 5)) == ["object", "part", "part"]


def test_background_spans_the_image() -> None:
    assert levels((0, 0, 100, 30), (0, 60, 100, 40), (40, 0, 20, 20)) == ["scene", "scene", "object"]


def test_things_on_a_background_are_objects() -> None:
    assert levels((0, 60, 100, 40), (30, 70, 20, 20), (32, 72, 5, 5)) == ["scene", "object", "part"]


def test_a_group_is_made_of_its_like_members() -> None:
    assert levels((10, 10, 30, 10), (10, 10, 10, 10), (20, 10, 10, 10), (30, 10, 10, 10)) == ["group", *["object"] * 3]


def test_members_of_a_group_have_parts() -> None:
    boxes = (10, 10, 40, 20), (10, 10, 20, 20), (30, 10, 20, 20), (12, 12, 5, 5)
    assert levels(*boxes) == ["group", "object", "object", "part"]


def test_two_wheels_do_not_make_a_car_a_group() -> None:
    assert levels((10, 10, 60, 30), (15, 30, 10, 10), (50, 30, 10, 10)) == ["object", "part", "part"]


def test_hull_and_sail_do_not_make_a_boat_a_group() -> None:
    assert levels((10, 10, 40, 40), (10, 40, 40, 10), (25, 10, 12, 30)) == ["object", "part", "part"]


def test_quartiles_follow_area() -> None:
    assert area_quartiles(np.array([50, 10, 40, 30, 20, 60, 70, 80])) == [
        *("group", "part", "object", "object", "part", "group", "scene", "scene")
    ]


def test_quartiles_keep_the_parents() -> None:
    masks = rectangles((10, 10, 60, 60), (20, 20, 30, 30))
    assert assign(masks, QUARTILES)[1].tolist() == assign(masks, PARAMS)[1].tolist()


@pytest.mark.parametrize("params", [PARAMS, QUARTILES])
def test_no_masks(params: object) -> None:
    found, parents = assign(Masks.parse([], (5, 5)), params)  # type: ignore[arg-type]
    assert (found, parents.tolist()) == ([], [])


def test_empty_masks_have_no_parent() -> None:
    assert assign(rectangles((0, 0, 0, 0), (10, 10, 5, 5)), PARAMS)[1].tolist() == [-1, -1]


def accuracy(params: object) -> tuple[float, float]:
    """Share of the nodes of drawn scenes whose level and whose parent is right."""
    right_level, right_parent = [], []
    for index in range(12):
        drawing = draw(scene(0, index, "hierarchy"))
        nodes = np.flatnonzero(drawing.areas >= 26)
        found, parents = assign(Masks.from_dense(drawing.masks[nodes]), params)  # type: ignore[arg-type]
        for i, node in enumerate(nodes):
            truth = drawing.scene.nodes[node]
            right_level.append(found[i] == truth.level)
            right_parent.append((nodes[parents[i]] if parents[i] >= 0 else -1) == truth.parent)
    return float(np.mean(right_level)), float(np.mean(right_parent))


def test_drawn_scenes_are_understood() -> None:
    level, parent = accuracy(PARAMS)
    assert level > 0.98
    assert parent > 0.97
    assert accuracy(QUARTILES)[0] < level - 0.2


def test_real_masks() -> None:
    if not SAMPLE.exists():
        pytest.skip("the SA-1B sample files are not here")
    rles = [annotation["segmentation"] for annotation in json.loads(SAMPLE.read_text())["annotations"]]
    masks = Masks.parse([rle["counts"] for rle in rles], rles[0]["size"])
    found, parents = assign(masks, PARAMS)
    assert set(found) <= set(LEVELS)
    areas = masks.areas()
    assert all(areas[parent] > areas[i] for i, parent in enumerate(parents) if parent >= 0)
    assert all(parents[i] >= 0 for i, level in enumerate(found) if level == "part")
