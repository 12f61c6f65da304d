import math

import torch

from ml.models.attention import Attention, grid_positions, key_bias


def by_loops(attention: Attention, x: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One query row against one memory, head by head."""
    q, k, v = attention.query(x), attention.key(memory), attention.value(memory)
    size = q.shape[-1] // attention.heads
    rows = []
    for i in range(len(x)):
        parts = []
        for head in range(attention.heads):
            at = slice(head * size, (head + 1) * size)
            weights = [math.exp(float(q[i, at] @ k[j, at]) / size**0.5) * bool(mask[j]) for j in range(len(memory))]
            parts.append(sum(w * v[j, at] for j, w in enumerate(weights)) / sum(weights))
        rows.append(torch.cat(parts))
    return attention.out(torch.stack(rows))


def test_attention_is_the_sum_over_unmasked_keys() -> None:
    attention = Attention(8, heads=2, memory_dim=6, inner=4)
    x, memory = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 5, 6)
    mask = torch.tensor([True, False, True, True, False])
    found = attention(x, memory, key_bias(mask.expand(2, 3, 5), x.dtype))
    for b in range(2):
        for q in range(3):
            torch.testing.assert_close(found[b, q], by_loops(attention, x[b, q], memory[b, q], mask))


def test_leading_dimensions_broadcast_both_ways() -> None:
    attention = Attention(8, heads=2)
    x, memory = torch.randn(2, 3, 4, 8), torch.randn(2, 1, 5, 8)
    torch.testing.assert_close(attention(x, memory), attention(x, memory.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(attention(memory, x), attention(memory.expand(-1, 3, -1, -1), x))


def test_nothing_to_attend_to_stays_finite() -> None:
    attention, x = Attention(8, heads=2), torch.randn(1, 1, 3, 8)
    found = attention(x, x, key_bias(torch.zeros(1, 1, 3, dtype=torch.bool), x.dtype))
    assert torch.isfinite(found).all()


def test_every_cell_has_its_own_position() -> None:
    positions = grid_positions(16, 16, 32)
    assert positions.shape == (256, 32)
    assert torch.cdist(positions, positions).fill_diagonal_(9).min() > 0.1
