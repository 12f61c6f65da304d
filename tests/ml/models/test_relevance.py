from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F

from ml.models.arrcoc import ARRCOC, ModelConfig
from ml.models.relevance import (
    ANYWHERE,
    LEVELS,
    POINTERS,
    RELATION_DIM,
    Judgement,
    RelationalAttention,
    both,
    hierarchical_relevance,
    lies_to,
    relevance_map,
)


def scores(model: ARRCOC, inputs) -> torch.Tensor:
    return model(*inputs.tensors())[0]


def judged(model: ARRCOC, inputs, grounding: torch.Tensor | None = None) -> Judgement:
    grid = model.adapt(inputs.features)
    regions = inputs.regions(model)
    found = model.ground(grid, regions, inputs.text).pixels if grounding is None else grounding
    return model.relevance(grid, regions, inputs.text, found)


def test_scores_are_probabilities(model: ARRCOC, inputs) -> None:
    found = scores(model, inputs)
    assert found.shape == (2, 3, 6)
    assert ((found > 0) & (found < 1)).all()


def test_invalid_regions_change_nothing(model: ARRCOC, inputs) -> None:
    valid = inputs.valid
    changed = inputs.but(
        boxes=torch.where(valid[..., None], inputs.boxes, torch.rand_like(inputs.boxes)),
        coverage=torch.where(valid[..., None, None], inputs.coverage, torch.rand_like(inputs.coverage)),
        crops=torch.where(valid[..., None], inputs.crops, torch.rand_like(inputs.crops)),
    )
    more = changed.but(
        boxes=F.pad(changed.boxes, (0, 0, 0, 3)),
        coverage=F.pad(changed.coverage, (0, 0, 0, 0, 0, 3)),
        crops=F.pad(changed.crops, (0, 0, 0, 3)),
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
        boxes=inputs.boxes[:, order],
        coverage=inputs.coverage[:, order],
        crops=inputs.crops[:, order],
        valid=inputs.valid[:, order],
    )
    torch.testing.assert_close(scores(model, shuffled), scores(model, inputs)[:, :, order], atol=1e-5, rtol=1e-5)


def test_no_valid_region_stays_finite(model: ARRCOC, inputs) -> None:
    assert torch.isfinite(scores(model, inputs.but(valid=torch.zeros_like(inputs.valid)))).all()


def test_every_parameter_learns(model: ARRCOC, inputs) -> None:
    scores(model, inputs).square().mean().backward()
    idle = [name for name, p in model.relevance_head.named_parameters() if p.grad is None or not p.grad.any()]
    # A constant added to every key leaves a softmax as it is.
    assert not [name for name in idle if not name.endswith("key.bias")]


def test_before_training_a_region_is_as_relevant_as_it_is_similar(untrained: ARRCOC, inputs) -> None:
    """Wherever it is: nothing is known of places yet."""
    cosine = torch.einsum("bne,bqe->bqn", inputs.crops, inputs.referents[:, :, 0])
    config = untrained.config
    similar = torch.sigmoid((cosine - config.similarity_midpoint) / config.similarity_scale)
    found = scores(untrained, inputs)
    torch.testing.assert_close(found, similar * torch.sigmoid(torch.tensor(ANYWHERE)), atol=1e-5, rtol=1e-4)
    assert float(found.std()) > 0.1


def test_a_thing_in_the_wrong_place_is_not_relevant(untrained: ARRCOC, inputs) -> None:
    """However similar: relevance is the product of two probabilities."""
    with torch.no_grad():
        untrained.relevance_head.score[-1].bias[1] = -ANYWHERE
    assert (scores(untrained, inputs) < 0.5).all()
    torch.testing.assert_close(
        scores(untrained, inputs),
        torch.sigmoid(untrained.similarity(inputs.crops, inputs.referents)[..., 0]) / 2,
    )


def test_both_is_the_logit_of_a_product() -> None:
    one, other = torch.randn(2, 1000, dtype=torch.double) * 3
    wanted = torch.logit(torch.sigmoid(one) * torch.sigmoid(other)).float()
    torch.testing.assert_close(both(one, other), wanted, atol=1e-3, rtol=1e-3)
    sure = torch.tensor([-100.0, -20.0, 0.0, 20.0, 100.0], requires_grad=True)
    found = both(sure.unsqueeze(0), sure.unsqueeze(1))
    assert found.isfinite().all() and torch.equal(found, found.T)
    assert (found.diff(dim=0) >= 0).all()
    found.sum().backward()
    assert sure.grad is not None and sure.grad.isfinite().all()


def test_similarity_is_a_residual_of_what_is_pointed_to(untrained: ARRCOC, inputs) -> None:
    """With what the first block reads of it cut off, each logit moves by its own referent's similarity."""
    torch.nn.init.zeros_(untrained.relevance_head.similar.weight)
    bare, names, anchors = (
        inputs.but(referents=inputs.referents * torch.tensor(kept).unsqueeze(-1)) for kept in ([0, 0], [1, 0], [0, 1])
    )
    similar = untrained.similarity(inputs.crops, inputs.referents)
    nothing = untrained.similarity(inputs.crops, torch.zeros_like(inputs.referents))
    named, pointed = (similar - nothing).unbind(-1)
    grounding, there = torch.randn(2, 3, 32, 32), inputs.valid.unsqueeze(1).expand(-1, 3, -1)
    before = judged(untrained, bare, grounding)
    for changed, by_name, by_anchor in ((names, named, 0 * pointed), (anchors, 0 * named, pointed)):
        after = judged(untrained, changed, grounding)
        torch.testing.assert_close((after.named - before.named)[there], by_name[there], atol=1e-4, rtol=1e-4)
        moved = after.anchors[:, :, 1:] - before.anchors[:, :, 1:]
        torch.testing.assert_close(moved[there], by_anchor[there], atol=1e-4, rtol=1e-4)
        assert torch.equal(after.anchors[:, :, 0], before.anchors[:, :, 0])  # the frame is no thing


def test_the_first_block_reads_the_similarity(model: ARRCOC, inputs) -> None:
    before = scores(model, inputs)
    torch.nn.init.zeros_(model.relevance_head.similar.weight)
    assert (scores(model, inputs) - before).abs().max() > 1e-3


def test_a_query_says_how_much_its_similarity_counts(untrained: ARRCOC, inputs) -> None:
    similar = untrained.similarity(inputs.crops, inputs.referents)[..., 0]
    torch.nn.init.constant_(untrained.relevance_head.trust[-1].bias, 1.0)
    anywhere = torch.sigmoid(torch.tensor(ANYWHERE))
    torch.testing.assert_close(scores(untrained, inputs), torch.sigmoid(2 * similar) * anywhere, atol=1e-5, rtol=1e-4)
    torch.nn.init.normal_(untrained.relevance_head.trust[-1].weight, std=0.3)
    counted = torch.logit(scores(untrained, inputs) / anywhere) / similar
    torch.testing.assert_close(counted, counted[:, :, :1].expand_as(counted), atol=1e-2, rtol=1e-2)
    assert float(counted[:, :, 0].std()) > 0.1  # each query its own


def test_without_frozen_similarity_crops_do_not_matter(
    build: Callable[[ModelConfig], ARRCOC], config: ModelConfig, inputs
) -> None:
    changed = inputs.but(crops=torch.randn_like(inputs.crops))
    for frozen_similarity in (True, False):
        model = build(replace(config, frozen_similarity=frozen_similarity))
        moved = (scores(model, changed) - scores(model, inputs)).abs().max()
        assert (moved > 1e-3) == frozen_similarity
    found = scores(ARRCOC(replace(config, frozen_similarity=False)), inputs)
    torch.testing.assert_close(found, torch.sigmoid(torch.tensor(ANYWHERE)).expand_as(found) / 2)  # it knows nothing


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
    anchors = judged(model, inputs).anchors.softmax(-1)
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
