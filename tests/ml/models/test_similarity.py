import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ml.models.regions import Regions
from ml.models.similarity import LEAST, SURE, UNKNOWN, Similarity


def test_similarity_by_loops() -> None:
    crops, referents = (F.normalize(torch.randn(2, n, 4, 6), dim=-1) for n in (3, 5))
    found = Similarity(0.2, 0.05, used=True)(crops[:, 0], referents)
    assert found.shape == (2, 5, 4, 4)
    for b, q, n, r in np.ndindex(*found.shape):
        wanted = (float(crops[b, 0, n] @ referents[b, q, r]) - 0.2) / 0.05
        assert float(found[b, q, n, r]) == pytest.approx(min(max(wanted, -SURE), SURE), abs=1e-4)
    assert (found == SURE).any() and (found == -SURE).any()


def test_a_cell_shows_what_its_likeliest_region_shows() -> None:
    crops, referents = F.normalize(torch.randn(2, 3, 6), dim=-1), F.normalize(torch.randn(2, 5, 4, 6), dim=-1)
    coverage, valid = torch.rand(2, 3, 4, 4), torch.tensor([[True, True, False], [True, False, False]])
    similarity = Similarity(0.2, 0.2, used=True)
    found = similarity.shown(Regions(crops, torch.rand(2, 3, 4), coverage, crops, valid), referents)
    likely = similarity(crops, referents).sigmoid()
    assert found.shape == (2, 5, 4, 4, 4)
    for b, q, r, y, x in np.ndindex(*found.shape):
        best = max(float(likely[b, q, n, r] * coverage[b, n, y, x]) for n in range(3) if valid[b, n])
        best = min(max(best, LEAST), 1 - LEAST)
        assert float(found[b, q, r, y, x].sigmoid()) == pytest.approx(best, abs=1e-5)


def test_unused_it_knows_nothing() -> None:
    crops, referents, coverage = torch.randn(1, 3, 6), torch.randn(1, 2, 2, 6), torch.rand(1, 3, 4, 4)
    similarity = Similarity(0.2, 0.05, used=False)
    regions = Regions(crops, torch.rand(1, 3, 4), coverage, crops, torch.ones(1, 3, dtype=torch.bool))
    assert not similarity(crops, referents).any()
    assert (similarity.shown(regions, referents) == UNKNOWN).all()
