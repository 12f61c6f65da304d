import numpy as np
import pytest
import torch

from ml.toytown.pretraining.data import LEVELS, LOW, Scenes, _render, nested, place


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes([_render(0, index) for index in range(6)])


def test_a_point_means_the_nested_masks_around_it() -> None:
    levels = torch.tensor([LEVELS.index(name) for name in ("scene", "group", "object", "part")])
    areas = torch.tensor([1000, 300, 100, 10])
    at = torch.tensor([[False, True, True, True], [False, True, True, False], [True, False, False, False], [False] * 4])
    meant = nested(at, levels, areas, torch.tensor([3, 2, 0, 2]))
    assert meant.tolist() == [[2, 3, 2, 1], [2, 2, 2, 1], [0, 0, 0, 0], [2, 2, 2, 2]]


def test_place_is_the_box_around_a_pixel() -> None:
    objects = torch.zeros(1, LOW, LOW)
    objects[0, 10:20, 30:50] = 1
    where, on_object = place(objects)
    assert torch.equal(on_object, objects[0].bool())
    y, x = 12, 35
    box = where[:, y, x] * LOW + torch.tensor([x, y, x, y]) + 0.5
    assert box.tolist() == pytest.approx([30.5, 10.5, 49.5, 19.5], abs=1e-4)


def test_targets_hold_their_points_mirrored_or_not(scenes: Scenes) -> None:
    images, picks = scenes.batch(16, 12, torch.Generator().manual_seed(0))
    assert images.shape == (16, 3, 256, 256)
    inside = []
    for pick in picks:
        cells = (pick.points * LOW / 256).long()
        inside.append(pick.targets[torch.arange(12), :, cells[:, 1], cells[:, 0]] > 0)
    assert torch.cat(inside).float().mean() > 0.95
    sizes = torch.cat([pick.targets for pick in picks]).sum((-1, -2))
    assert (sizes[:, 1] <= sizes[:, 0] + 1e-3).all() and (sizes[:, 3] >= sizes[:, 0] - 1e-3).all()


def test_rendering_depends_on_seed_and_index_alone() -> None:
    one, same, other = _render(0, 3), _render(0, 3), _render(0, 4)
    assert np.array_equal(one.crops, same.crops) and np.array_equal(one.coverage, same.coverage)
    assert one.texts == same.texts and one.captions != other.captions
    assert len(one.crops) == len(one.captions) == len(one.concepts) + 1
