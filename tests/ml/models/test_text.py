import pytest
import torch

from ml.models.frozen.clip import TextFeatures
from ml.models.text import TextProjection, sequence_positions


def test_the_order_of_words_counts() -> None:
    torch.manual_seed(0)
    project = TextProjection(10, 6, 16, 2)
    tokens, pooled, mask = torch.randn(1, 1, 4, 10), torch.randn(1, 1, 6), torch.ones(1, 1, 4, dtype=torch.bool)
    read, _ = project(TextFeatures(tokens, pooled, mask))
    swapped, _ = project(TextFeatures(tokens[:, :, [1, 0, 2, 3]], pooled, mask))
    assert not torch.allclose(read[:, :, 1], swapped[:, :, 2], atol=1e-2)


def test_places_are_all_different() -> None:
    places = sequence_positions(77, 32, torch.device("cpu"))
    assert places.shape == (77, 32)
    apart = torch.cdist(places, places) + torch.eye(77) * 9
    assert float(apart.min()) > 0.5
    assert float(places.abs().max()) <= 1


@pytest.mark.parametrize("extra", [1, 5])
def test_padding_changes_nothing(extra: int) -> None:
    torch.manual_seed(0)
    project = TextProjection(10, 6, 16, 2)
    tokens, pooled, mask = torch.randn(1, 1, 4, 10), torch.randn(1, 1, 6), torch.ones(1, 1, 4, dtype=torch.bool)
    longer = TextFeatures(
        torch.cat([tokens, torch.randn(1, 1, extra, 10)], 2), pooled, torch.nn.functional.pad(mask, (0, extra))
    )
    torch.testing.assert_close(project(longer)[0][:, :, :5], project(TextFeatures(tokens, pooled, mask))[0])
