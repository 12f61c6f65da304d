import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ml.models.regions import Regions
from ml.models.similarity import LEAST, NORM, SURE, Similarity


def test_similarity_by_loops() -> None:
    crops, referents = (F.normalize(torch.randn(2, n, 4, 6), dim=-1) for n in (3, 5))
    found = Similarity(0.2, 0.05, used=True)(crops[:, 0], referents)
    assert found.shape == (2, 5, 4, 4)
    for b, q, n, r in np.ndindex(*found.shape):
        wanted = (float(crops[b, 0, n] @ referents[b, q, r]) - 0.2) / 0.05
        assert float(found[b, q, n, r]) == pytest.approx(min(max(wanted, -SURE), SURE), abs=1e-4)
    assert (found == SURE).any() and (found == -SURE).any()


def regions(crops: torch.Tensor, coverage: torch.Tensor, valid: torch.Tensor) -> Regions:
    return Regions(crops, torch.rand(*crops.shape[:2], 4), coverage, crops, valid)


def test_a_cell_shows_what_its_likeliest_region_shows() -> None:
    crops, referents = F.normalize(torch.randn(2, 3, 6), dim=-1), F.normalize(torch.randn(2, 5, 2, 6), dim=-1)
    coverage, valid = torch.rand(2, 3, 4, 4), torch.tensor([[True, True, False], [True, False, False]])
    similarity = Similarity(0.2, 0.2, used=True)
    likely = similarity(crops, referents).sigmoid().clamp_min(LEAST)
    logits, sizes = similarity.shown(regions(crops, coverage, valid), referents)
    assert logits.shape == sizes.shape == (2, 5, 2, 4, 4)
    for b, q, r, y, x in np.ndindex(*logits.shape):
        on = [float(likely[b, q, n, r] * coverage[b, n, y, x]) for n in range(3) if valid[b, n]]
        best, of_two = (min(max(share, LEAST), 1 - LEAST) for share in (max(on), max(on) * 2 ** (1 / NORM)))
        assert best - 1e-5 <= float(logits[b, q, r, y, x].sigmoid()) <= of_two + 1e-5


def test_a_cell_is_as_large_as_the_likeliest_region_on_it() -> None:
    crops, coverage = torch.eye(3)[None], torch.zeros(1, 3, 8, 8)
    coverage[0, 0, :2, :2], coverage[0, 1, :4, :4], coverage[0, 2, 6, 6] = 1, 1, 0.25
    seen = regions(crops, coverage, torch.ones(1, 3, dtype=torch.bool))
    _, sizes = Similarity(0.5, 0.1, used=True).shown(seen, torch.eye(3)[None, :, None].expand(-1, -1, 2, -1))
    found = sizes[0, :, 0].exp() * 8  # in cells
    assert found.shape == (3, 8, 8)
    torch.testing.assert_close(found[:2, 0, 0], torch.tensor([2.0, 4.0]), atol=1e-3, rtol=1e-3)  # both lie there
    for query in range(3):
        torch.testing.assert_close(found[query, 6, 6], torch.tensor(0.5), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(found[query, 3, 3], torch.tensor(4.0), atol=1e-3, rtol=1e-3)
        assert found[query, 7, 0] == 8  # no region: as large as the frame


def test_unused_it_knows_where_regions_are_and_not_what() -> None:
    crops, referents, coverage = torch.randn(1, 3, 6), torch.randn(1, 2, 2, 6), torch.rand(1, 3, 4, 4)
    similarity = Similarity(0.2, 0.05, used=False)
    assert not similarity(crops, referents).any()
    seen = regions(crops, coverage, torch.ones(1, 3, dtype=torch.bool))
    one, other = similarity.shown(seen, referents), similarity.shown(seen._replace(crops=-crops), -referents)
    assert one.logits.equal(other.logits) and one.sizes.equal(other.sizes)
    assert one.sizes.std() > 0
