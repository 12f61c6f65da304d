import torch
import torch.nn.functional as F

from ml.models.arrcoc import ARRCOC
from ml.models.regions import Regions
from ml.models.relevance import (
    LEVELS,
    POINTERS,
    RELATION_DIM,
    RelationalAttention,
    hierarchical_relevance,
    lies_to,
    relevance_map,
)


def scores(model: ARRCOC, inputs) -> torch.Tensor:
    return model(*inputs.tensors())[0]


def test_scores_are_probabilities(model: ARRCOC, inputs) -> None:
    found = scores(model, inputs)
    assert found.shape == (2, 3, 6)
    assert ((found > 0) & (found < 1)).all()


def test_invalid_regions_change_nothing(model: ARRCOC, inputs) -> None:
    valid = inputs.valid
    changed = inputs.but(
        boxes=torch.where(valid[..., None], inputs.boxes, torch.rand_like(inputs.boxes)),
        coverage=torch.where(valid[..., None, None], inputs.coverage, torch.rand_like(inputs.coverage)),
    )
    more = changed.but(
        boxes=F.pad(changed.boxes, (0, 0, 0, 3)),
        coverage=F.pad(changed.coverage, (0, 0, 0, 0, 0, 3)),
        valid=F.pad(valid, (0, 3), value=False),
    )
    kept = valid.unsqueeze(1).expand(-1, 3, -1)
    torch.testing.assert_close(scores(model, more)[:, :, :6][kept], scores(model, inputs)[kept], atol=1e-5, rtol=1e-5)


def test_padded_tokens_change_nothing(model: ARRCOC, inputs) -> None:
    longer = inputs.but(
        tokens=F.pad(inputs.tokens, (0, 0, 0, 4), value=3.0), text_mask=F.pad(inputs.text_mask, (0, 4), value=False)
    )
    torch.testing.assert_close(scores(model, longer), scores(model, inputs), atol=1e-5, rtol=1e-5)


def test_regions_may_come_in_any_order(model: ARRCOC, inputs) -> None:
    order = torch.randperm(6)
    shuffled = inputs.but(
        boxes=inputs.boxes[:, order], coverage=inputs.coverage[:, order], valid=inputs.valid[:, order]
    )
    torch.testing.assert_close(scores(model, shuffled), scores(model, inputs)[:, :, order], atol=1e-5, rtol=1e-5)


def test_no_valid_region_stays_finite(model: ARRCOC, inputs) -> None:
    assert torch.isfinite(scores(model, inputs.but(valid=torch.zeros_like(inputs.valid)))).all()


def test_every_parameter_learns(model: ARRCOC, inputs) -> None:
    scores(model, inputs).square().mean().backward()
    idle = [name for name, p in model.relevance_head.named_parameters() if p.grad is None or not p.grad.any()]
    # A constant added to every key leaves a softmax as it is.
    assert not [name for name in idle if not name.endswith("key.bias")]


def test_relational_attention_by_loops() -> None:
    heads, n, dim = 2, 4, 8
    attention = RelationalAttention(dim, heads)
    x, query, pairs = torch.randn(1, 1, n, dim), torch.randn(1, 1, dim), torch.randn(1, n, n, RELATION_DIM)
    pointed = torch.randn(1, 1, POINTERS, n, RELATION_DIM)
    bias = torch.tensor([0.0, 0.0, -1e4, 0.0]).expand(1, 1, 1, 1, n)
    q, k, v = attention.project(x[0, 0]).chunk(3, dim=-1)
    relation, gate = (asked(query[0, 0]).view(-1, RELATION_DIM) for asked in (attention.relation, attention.gate))
    rows = []
    for i in range(n):
        read, lies = [], []
        for h in range(heads):
            at = slice(h * dim // heads, (h + 1) * dim // heads)
            others = [j for j in range(n) if j != 2]
            asked = [relation[h] @ pairs[0, i, j] / RELATION_DIM**0.5 for j in others]
            weights = [
                torch.exp(q[i, at] @ k[j, at] / (dim // heads) ** 0.5 + a) for j, a in zip(others, asked, strict=True)
            ]
            share = torch.stack(weights) / sum(weights)
            read += [share @ v[others, at], torch.log(sum(weights))[None]]
            lies.append((share @ pairs[0, i, others]) * gate[h])
        lies += [pointed[0, 0, p, i] * gate[heads + p] for p in range(POINTERS)]
        rows.append(torch.cat([*read, *lies]))
    torch.testing.assert_close(attention(x, query, pairs, pointed, bias)[0, 0], attention.out(torch.stack(rows)))


def test_an_anchor_may_be_any_region_or_none(model: ARRCOC, inputs) -> None:
    grid = model.adapt(inputs.features)
    regions, grounding = model.regions(grid, inputs.coverage, inputs.boxes), model.ground(grid, inputs.text).pixels
    regions = Regions(regions, inputs.boxes, inputs.coverage, inputs.valid)
    anchors = model.relevance(grid, regions, inputs.text, grounding).anchors.softmax(-1)
    assert anchors.shape == (2, 3, 1 + 6)
    assert (anchors[:, :, 0] > 0).all()
    assert ((anchors[:, :, 1:] > 0) == inputs.valid.unsqueeze(1)).all()


def test_lies_to_by_loops() -> None:
    anchors, named, pairs = torch.randn(1, 1, 4), torch.randn(1, 1, 4), torch.randn(1, 4, 4, RELATION_DIM)
    found = lies_to(anchors, named, pairs)[0, 0]
    for i in range(4):
        others = [j for j in range(1, 4) if j != i]
        weights = named[0, 0, others].sigmoid()
        mean = weights @ pairs[0, i, others] / max(float(weights.sum()), 1.0)
        torch.testing.assert_close(found[0, i], anchors[0, 0].softmax(0) @ pairs[0, i])
        torch.testing.assert_close(found[1, i], mean)


def test_relevance_map_is_the_best_mask_at_each_cell() -> None:
    coverage = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
    found = relevance_map(torch.tensor([0.8, 0.6]), coverage)
    torch.testing.assert_close(found, torch.tensor([[0.8, 0.6], [0.6, 0.0]]))


def test_hierarchy_by_loops() -> None:
    scores, coverage = torch.rand(2, 3, 5), torch.rand(2, 5, 4, 4)
    levels = torch.tensor([[0, 1, 1, 3, -1], [1, 1, 0, 2, 3]])
    found = hierarchical_relevance(scores, levels, coverage)
    for b in range(2):
        for q in range(3):
            for level in range(len(LEVELS)):
                inside = [n for n in range(5) if levels[b, n] == level]
                best = max((scores[b, q, n] for n in inside), default=torch.tensor(0.0))
                assert found.scores[b, q, level] == best
                maps = [scores[b, q, n] * coverage[b, n] for n in inside] or [torch.zeros(4, 4)]
                torch.testing.assert_close(found.maps[b, q, level], torch.stack(maps).amax(0))
