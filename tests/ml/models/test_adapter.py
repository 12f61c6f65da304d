import torch
from torch import nn

from ml.models.adapter import Adapter, LayerNorm2d


def test_layer_norm_is_torchs_over_channels() -> None:
    x = torch.randn(2, 5, 3, 4)
    oracle = nn.LayerNorm(5, eps=1e-6)
    ours = LayerNorm2d(5)
    nn.init.normal_(oracle.weight)
    nn.init.normal_(oracle.bias)
    ours.load_state_dict(oracle.state_dict())
    torch.testing.assert_close(ours(x), oracle(x.movedim(1, -1)).movedim(-1, 1))


def test_adapter_keeps_each_cell_to_itself() -> None:
    adapter, x = Adapter(6, 8), torch.randn(1, 6, 4, 4)
    changed = x.clone()
    changed[:, :, 1, 2] += 1
    differs = (adapter(x) != adapter(changed)).any(1)[0]
    assert differs.nonzero().tolist() == [[1, 2]]


def test_adapter_takes_any_grid() -> None:
    adapter = Adapter(6, 8)
    assert adapter(torch.randn(2, 6, 3, 5)).shape == (2, 8, 3, 5)
