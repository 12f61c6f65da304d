import pytest
import torch

from ml.models.regions import PARTS, RegionEncoder, bins, filled, outline, pair_geometry, part_weights, pool


def test_pool_is_the_weighted_mean() -> None:
    grid, weights = torch.randn(2, 3, 4, 5), torch.rand(2, 6, 2, 4, 5)
    found = pool(grid, weights)
    for b in range(2):
        for n in range(6):
            for p in range(2):
                weight = weights[b, n, p]
                torch.testing.assert_close(found[b, n, p], (grid[b] * weight).sum((1, 2)) / weight.sum())


def test_a_mask_that_covers_nothing_gets_the_cell_under_its_centre() -> None:
    coverage = torch.zeros(1, 2, 4, 4)
    coverage[0, 1, 0, 0] = 0.25
    boxes = torch.tensor([[[0.55, 0.30, 0.56, 0.31], [0.0, 0.0, 0.1, 0.1]]])
    found = filled(coverage, boxes)
    assert found[0, 0].nonzero().tolist() == [[1, 2]]
    assert torch.equal(found[0, 1], coverage[0, 1])


@pytest.mark.parametrize("box", [[1.0, 1.0, 1.0, 1.0], [-0.1, -0.1, -0.05, -0.05], [0.5, 0.5, 0.5, 0.5]])
def test_degenerate_boxes_stay_finite(box: list[float]) -> None:
    encoder, grid, boxes = RegionEncoder(8), torch.randn(1, 8, 4, 4), torch.tensor([[box]])
    found = encoder(grid, torch.zeros(1, 1, 4, 4), boxes)
    assert torch.isfinite(found).all()
    assert torch.isfinite(pair_geometry(boxes, torch.zeros(1, 1, 4, 4))).all()


def test_parts_share_the_mask_out_without_loss() -> None:
    weights, boxes = torch.rand(1, 3, 8, 8), torch.tensor([[[0.1, 0.2, 0.8, 0.9]] * 3])
    parts = part_weights(weights, boxes)
    assert parts.shape == (1, 3, PARTS**2, 8, 8)
    torch.testing.assert_close(parts.sum(2), weights)
    assert (parts[0, 0, 0, :2].sum() > 0) and (parts[0, 0, 2, :2].sum() == 0)  # the top rows are in the upper parts


def test_bins_interpolate() -> None:
    weights = bins(torch.tensor([[0.0]]), torch.tensor([[1.0]]), cells=4, count=3)[0, 0]
    torch.testing.assert_close(weights.sum(0), torch.ones(4))
    centres = torch.tensor([0.125, 0.375, 0.625, 0.875])
    torch.testing.assert_close(weights.T @ torch.tensor([0.0, 0.5, 1.0]), centres)


def test_outline_does_not_depend_on_where_and_how_large() -> None:
    small, large = torch.zeros(16, 16), torch.zeros(16, 16)
    small[2:6, 3:5] = 1
    large[4:12, 8:12] = 1
    boxes = torch.tensor([[[3 / 16, 2 / 16, 7 / 16, 6 / 16], [8 / 16, 4 / 16, 16 / 16, 12 / 16]]])
    found = outline(torch.stack([small, large]).unsqueeze(0), boxes)[0]
    torch.testing.assert_close(found.sum(-1), torch.ones(2))
    assert (found[0] - found[1]).abs().max() < 0.1


def test_pair_geometry_says_who_is_left_of_and_inside_whom() -> None:
    boxes = torch.tensor([[[0.1, 0.4, 0.2, 0.5], [0.5, 0.2, 0.9, 0.8], [0.6, 0.3, 0.7, 0.4]]])
    coverage = torch.zeros(1, 3, 10, 10)
    coverage[0, 0, 4:5, 1:2] = coverage[0, 1, 2:8, 5:9] = coverage[0, 2, 3:4, 6:7] = 1
    pairs = pair_geometry(boxes, coverage)[0]
    dx, larger, inside, covered = 0, 7, 9, 11
    assert pairs[0, 1, dx] == pytest.approx(0.15 - 0.7)
    assert pairs[1, 0, dx] == pytest.approx(0.7 - 0.15)
    assert pairs[1, 0, larger] == pytest.approx(torch.tensor(24.0).log().item())
    assert pairs[2, 1, inside] == pytest.approx(1) and pairs[2, 1, covered] == pytest.approx(1)
    assert pairs[0, 1, inside] == 0 and pairs[1, 2, covered] == pytest.approx(1 / 24)
