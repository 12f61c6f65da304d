"""Relevance of every mask to a query: a small transformer over regions that knows how they lie to one another."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.models.attention import Attention, FeedForward, key_bias, split_heads
from ml.models.frozen.texts import REFERENTS, QueryFeatures
from ml.models.grounding import POINTERS, pooled_over_regions
from ml.models.regions import GEOMETRY, PAIR_GEOMETRY, Regions, box_geometry, filled, pair_geometry
from ml.models.similarity import SURE
from ml.models.text import TextProjection

LEVELS = ("part", "object", "group", "scene")
RELATION_DIM = 32
ANYWHERE = 3.0  # logit of the place to start from: most names are asked for wherever they are
SMALLEST = 1e-6  # keeps the logarithm of what is left of a certain probability finite


class RelationalAttention(nn.Module):
    """Self-attention among regions that reads how a region lies to those it attends to ("left of", "larger than").

    What a query asks for (`relation`) biases whom a region attends to; what it wants to know (`gate`) multiplies the
    mean geometry of the pairs attended to. The second road is the short one: if the others lie to its right, a car is
    the leftmost, whatever the attention has learned. The logarithm of the softmax's normaliser goes on beside them: a
    weighted mean cannot say whether there was anything to attend to. How a region lies to what
    the query points to (`pointed`) are more heads, whose attention is given.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim, 3 * dim)
        self.relation = nn.Linear(dim, heads * RELATION_DIM)
        self.gate = nn.Linear(dim, (heads + POINTERS) * RELATION_DIM)
        self.out = nn.Linear(dim + heads + (heads + POINTERS) * RELATION_DIM, dim)

    def forward(self, x: Tensor, query: Tensor, pairs: Tensor, pointed: Tensor, bias: Tensor) -> Tensor:
        """Regions x `[B, Q, N, d]`, query `[B, Q, d]`, bias `[B, 1, 1, 1, N]`, `RELATION_DIM` numbers r of each pair.

        pairs `[B, N, N, r]`, pointed `[B, Q, POINTERS, N, r]`.
        """
        q, k, v = (split_heads(part, self.heads) for part in self.project(x).chunk(3, dim=-1))
        relation, gate = (part.unflatten(-1, (-1, RELATION_DIM)) for part in (self.relation(query), self.gate(query)))
        asked = torch.einsum("bqhr,bnmr->bqhnm", relation, pairs) * RELATION_DIM**-0.5
        logits = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5 + asked + bias
        evidence = torch.logsumexp(logits, dim=-1, keepdim=True)
        weights = (logits - evidence).exp()
        lies = torch.cat([torch.einsum("bqhnm,bnmr->bqhnr", weights, pairs), pointed], dim=2)
        seen, learned = torch.cat([weights @ v, evidence], dim=-1), lies * gate.unsqueeze(3)
        return self.out(torch.cat([part.transpose(2, 3).flatten(3) for part in (seen, learned)], dim=-1))


class RelevanceBlock(nn.Module):
    """Regions to text, regions among themselves, perceptron.

    What a region reads from the text is multiplied with the region before it is added: the sum over channels of such
    products is a match between the two, which a sum alone would have to learn kind by kind (MUTAN, MAC).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.text_norm, self.region_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.text = Attention(dim, heads)
        self.gate = nn.Linear(dim, dim)
        self.asked = nn.Parameter(torch.randn(1, 1, 1, dim))
        self.ask = Attention(dim, heads)
        self.among = RelationalAttention(dim, heads)
        self.feed_forward = FeedForward(dim, dropout)

    def forward(
        self, x: Tensor, tokens: Tensor, pairs: Tensor, pointed: Tensor, token_bias: Tensor, region_bias: Tensor
    ) -> Tensor:
        """Regions x `[B, Q, N, d]`, tokens `[B, Q, T, d]`, biases over T and N; the rest as in the attention."""
        normed = self.text_norm(x)
        x = x + self.text.out(self.gate(normed) * self.text.attend(normed, tokens, token_bias))
        query = self.ask(self.asked, tokens, token_bias).squeeze(2)
        x = x + self.among(self.region_norm(x), query, pairs, pointed, region_bias)
        return x + self.feed_forward(x)


class Judgement(NamedTuple):
    """Logits of each query.

    Attributes:
        relevance: `[B, Q, N]`.
        named: `[B, Q, N]`, of what its name alone might mean.
        anchors: `[B, Q, 1 + N]`, of what its place is told against; "nothing" first.
    """

    relevance: Tensor
    named: Tensor
    anchors: Tensor


class RelevanceHead(nn.Module):
    """(region, text, image context) to a logit for each query and mask.

    Relevance is that of the name times that of the place, as in the pseudo-labels: a car in the wrong place is not
    meant, however much it is a car. The frozen similarity is an input of the first block, and a residual on the logits
    of the name and of what is pointed to: training starts from what is known without it, and refines that. How much of
    it counts, a gate says that reads the query.

    The image context is one more region: the whole frame, always valid. It is what "on the left" is left of, and what
    a region attends to when no other region fits. Regions are held once a query, so they are half as wide as the grid.
    """

    def __init__(
        self,
        text_dim: int,
        embed_dim: int,
        dim: int,
        heads: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        width = dim // 2
        self.similar = nn.Linear(REFERENTS, width)
        self.trust = nn.Sequential(nn.LayerNorm(width), zeroed(nn.Linear(width, 1)))
        self.text = TextProjection(text_dim, embed_dim, width, heads)
        self.context = nn.Linear(dim, dim)
        self.region = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))
        self.place = nn.Linear(GEOMETRY, width)
        self.grounded = nn.Linear(2, width)
        self.pairs = nn.Sequential(
            nn.Linear(PAIR_GEOMETRY, 2 * RELATION_DIM),
            nn.GELU(),
            nn.Linear(2 * RELATION_DIM, RELATION_DIM),
            nn.LayerNorm(RELATION_DIM),
        )
        self.point = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, POINTERS))
        self.blocks = nn.ModuleList(RelevanceBlock(width, heads, dropout) for _ in range(layers))
        self.score = nn.Sequential(nn.LayerNorm(width), zeroed(nn.Linear(width, 2)))

    def forward(
        self, grid: Tensor, regions: Regions, text: QueryFeatures, grounding: Tensor, similar: Tensor
    ) -> Judgement:
        """Logits; those of regions that are not valid mean nothing.

        grid `[B, d, h, w]`, text with leading `[B, Q]`, grounding logits `[B, Q, 4h, 4w]`, the frozen similarity
        `[B, Q, N, REFERENTS]`.
        """
        context = self.context(grid.mean((-2, -1))).unsqueeze(1)
        features, boxes, coverage, _, valid = with_frame(regions, context)
        tokens, token_bias = self.text(text)
        similar = F.pad(similar, (0, 0, 1, 0))  # the frame is no thing
        x = self.region(features) + self.place(box_geometry(boxes, coverage))
        x = (
            x.unsqueeze(1)
            + self.similar(similar / SURE)
            + self.grounded(pooled_over_regions(grounding, filled(coverage, boxes)))
        )
        pairs = self.pairs(pair_geometry(boxes, coverage))
        region_bias = key_bias(valid, x.dtype).unsqueeze(1)
        first, *others = self.blocks
        to_frame = pairs[:, None, None, :, 0].expand(-1, x.shape[1], POINTERS, -1, -1)
        x = first(x, tokens, pairs, to_frame, token_bias, region_bias)
        named, anchors = (self.point(x) + similar + region_bias.transpose(-1, -2).squeeze(1)).unbind(-1)
        pointed = lies_to(anchors, named, pairs)
        for block in others:
            x = block(x, tokens, pairs, pointed, token_bias, region_bias)
        trust = 1 + self.trust(tokens[:, :, 0])
        name, place = self.score(x).unbind(-1)
        relevance = both(name + trust * similar[..., 0], place + ANYWHERE)
        return Judgement(relevance[:, :, 1:], named[:, :, 1:], anchors)


def both(one: Tensor, other: Tensor) -> Tensor:
    """The logit of the product of two probabilities, from their logits."""
    likely = (F.logsigmoid(one.float()) + F.logsigmoid(other.float())).clamp(max=-SMALLEST)
    return likely - torch.log(-torch.expm1(likely))


def zeroed(linear: nn.Linear) -> nn.Linear:
    """The layer with weights of zero: what it is added to comes first."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def lies_to(anchors: Tensor, named: Tensor, pairs: Tensor) -> Tensor:
    """How each region lies to the anchor, and on average to the others of its name: `[B, Q, POINTERS, N, r]`.

    Logits `[B, Q, N]`, the frame first, of which one is the anchor, and any but the frame may be named; pairs
    `[B, N, N, r]`. All others of the leftmost lie to its right.
    """
    places = torch.arange(named.shape[-1], device=named.device)
    others = (places.unsqueeze(-1) != places) & (places > 0)
    alike = torch.sigmoid(named).unsqueeze(-2) * others.to(named.dtype)
    alike = alike / alike.sum(-1, keepdim=True).clamp_min(1)
    attended = torch.stack([anchors.softmax(-1).unsqueeze(-2).expand_as(alike), alike], dim=2)
    return torch.einsum("bqpnm,bnmr->bqpnr", attended, pairs)


def with_frame(regions: Regions, context: Tensor) -> Regions:
    """Put a region that is the whole frame before the others; its features are the `context`, `[B, 1, d]`."""
    features, boxes, coverage, crops, valid = regions
    frame = torch.cat([torch.zeros_like(boxes[:, :1, :2]), torch.ones_like(boxes[:, :1, 2:])], dim=-1)
    everywhere, always = torch.ones_like(coverage[:, :1]), torch.ones_like(valid[:, :1])
    return Regions(
        torch.cat([context, features], dim=1),
        torch.cat([frame, boxes], dim=1),
        torch.cat([everywhere, coverage], dim=1),
        torch.cat([torch.zeros_like(crops[:, :1]), crops], dim=1),
        torch.cat([always, valid], dim=1),
    )


def relevance_map(scores: Tensor, coverage: Tensor) -> Tensor:
    """Max over masks of mask x score: scores `[..., N]` in [0, 1], coverage `[..., N, h, w]` -> `[..., h, w]`."""
    return (scores[..., None, None] * coverage).amax(-3)


class HierarchicalRelevance(NamedTuple):
    """Relevance at each of `LEVELS`: the best score `[B, Q, 4]` (0 where there is no mask), maps `[B, Q, 4, h, w]`."""

    scores: Tensor
    maps: Tensor


def hierarchical_relevance(scores: Tensor, levels: Tensor, coverage: Tensor) -> HierarchicalRelevance:
    """Split relevance by level: scores `[B, Q, N]`, levels int `[B, N]` (index into `LEVELS`; -1: padding)."""
    member = levels.unsqueeze(1) == torch.arange(len(LEVELS), device=levels.device).unsqueeze(-1)
    by_level = scores.unsqueeze(2) * member.unsqueeze(1)
    maps = torch.stack([relevance_map(by_level[:, :, i], coverage.unsqueeze(1)) for i in range(len(LEVELS))], dim=2)
    return HierarchicalRelevance(by_level.amax(-1), maps)
