"""Places against boxes, centres and windows found cell by cell."""

import numpy as np
import torch

from ml.models.places import PLACES, RADII, SIZES, STEEP, places, sizes

H, W = 16, 16


def pointed_to(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    """A map that is sure of some boxes (x0, y0, x1, y1), in cells."""
    out = torch.zeros(H, W)
    for x0, y0, x1, y1 in boxes:
        out[y0:y1, x0:x1] = 1
    return out


def by_loops(map_: np.ndarray, row: int, column: int) -> list[float]:
    rows, columns = np.nonzero(map_)
    x, y = (column + 0.5) / W, (row + 0.5) / H
    gaps = [x - columns.min() / W, (columns.max() + 1) / W - x, y - rows.min() / H, (rows.max() + 1) / H - y]
    offset = [x - (columns.mean() + 0.5) / W, y - (rows.mean() + 0.5) / H]
    around = []
    for radius in (H // divisor for divisor in RADII):
        padded = np.pad(map_, radius)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2).mean((2, 3))
        around.append(windows[row, column])
    share = around[-1] / windows.max()
    steep = list(np.tanh(STEEP * np.array([*gaps, *offset])))
    dominant = np.tanh(STEEP * (abs(offset[0]) - abs(offset[1])))
    return [map_[row, column], *gaps, *offset, *steep, dominant, *around, share]


def test_places_of_two_boxes_cell_by_cell() -> None:
    pointed = torch.stack([pointed_to((2, 4, 5, 8), (10, 5, 15, 9)), pointed_to((0, 0, 16, 1))])
    found = places(pointed[None, None])
    assert found.shape == (1, 1, 2, PLACES, H, W)
    for p, map_ in enumerate(pointed.numpy()):
        for row, column in ((0, 0), (6, 3), (6, 12), (15, 15), (9, 7)):
            wanted = torch.tensor(by_loops(map_, row, column), dtype=torch.float32)
            # An end is expected, not found: a sure column leaves a thousandth, and steps are ten times as steep.
            torch.testing.assert_close(found[0, 0, p, :, row, column], wanted, atol=1e-2, rtol=0)


def test_a_mirrored_map_has_mirrored_places() -> None:
    probability = torch.rand(1, 2, 2, H, W)
    found, mirrored = places(probability), places(probability.flip(-1)).flip(-1)
    # The gaps to the left and to the right change places.
    torch.testing.assert_close(mirrored[..., 1, :, :], found[..., 2, :, :], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mirrored[..., 5, :, :], -found[..., 5, :, :], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mirrored[..., 3, :, :], found[..., 3, :, :], atol=1e-5, rtol=1e-5)


def test_where_nothing_is_pointed_to_places_are_finite_and_learnable() -> None:
    for value in (0.0, 1.0):
        probability = torch.full((1, 1, 1, H, W), value, requires_grad=True)
        found = places(probability)
        found.sum().backward()
        assert torch.isfinite(found).all() and torch.isfinite(probability.grad).all()


def test_sizes_are_told_against_the_greatest_and_the_least_that_is_pointed_to() -> None:
    pointed = pointed_to((0, 0, 4, 4), (8, 8, 10, 10))
    own, others = torch.rand(H, W), torch.rand(H, W)
    found = sizes(0.9 * pointed + 0.05, own, others)
    assert found.shape == (SIZES, H, W)
    meant = others[pointed > 0]
    beyond, above = own - meant.max(), own - meant.min()
    wanted = [own, beyond, above, torch.tanh(STEEP * beyond), torch.tanh(STEEP * above)]
    torch.testing.assert_close(found, torch.stack(wanted))


def test_where_nothing_is_pointed_to_surely_the_likeliest_cells_count() -> None:
    own = torch.rand(H, W)
    faint = 0.2 * pointed_to((3, 3, 5, 6)) + 0.1
    torch.testing.assert_close(sizes(faint, own, own), sizes(pointed_to((3, 3, 5, 6)), own, own))
