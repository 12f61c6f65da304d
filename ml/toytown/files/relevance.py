"""The relevance benchmark: given masks of every level, queries of every kind, and how relevant each mask truly is."""

from pathlib import Path
from typing import Any

import numpy as np

from ml.masks import Masks
from ml.params import Params
from ml.toytown.files.annotations import write_lines
from ml.toytown.files.shards import imprecise
from ml.toytown.files.truth import Truth
from ml.toytown.world.draw import Drawing
from ml.toytown.world.expressions import Expression, expressions, spoken
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.scene import random_for

LEAST = 26  # visible pixels of a node that gets a mask
QUERIES = {"attribute": 2, "relation": 3, "superlative": 2, "part": 2, "group": 1, "scene": 1}  # at most, an image


def write_relevance(folder: Path, params: Params) -> None:
    """Write `params.toytown.relevance_images` images and `relevance_val.jsonl` under `folder`."""
    write_lines(folder, "relevance", params.toytown.relevance_images, params, _judged)


def _judged(drawing: Drawing) -> dict[str, Any]:
    """The masks and queries of one image."""
    rng = random_for(f"{drawing.scene.key}/relevance")
    nodes = np.flatnonzero(drawing.areas >= LEAST)[rng.permutation((drawing.areas >= LEAST).sum())]
    masks = Masks.from_dense(np.stack([imprecise(drawing.masks[node], rng) for node in nodes]))
    place = {int(node): i for i, node in enumerate(nodes)}
    size = list(masks.size)
    rows = [
        {
            "counts": counts,
            "size": size,
            "level": drawing.scene.nodes[node].level,
            "parent": place.get(drawing.scene.nodes[node].parent, -1),
        }
        for node, counts in zip(nodes, masks.to_strings(), strict=True)
    ]
    truth = Truth(drawing)
    return {"masks": rows, "queries": [_query(e, truth, masks, rng) for e in _asked(truth, rng)]}


def _query(expression: Expression, truth: Truth, masks: Masks, rng: np.random.Generator) -> dict[str, Any]:
    relevance = truth.relevance_to(expression.targets, masks)
    return {
        "text": spoken(expression, rng),
        "kind": expression.kind,
        "relevance": [round(float(value), 4) for value in relevance],
    }


def _asked(truth: Truth, rng: np.random.Generator) -> list[Expression]:
    """Expressions of every kind that are clear, and one noun that means several objects alike."""
    said = expressions(truth.drawing)
    asked = []
    for kind, most in QUERIES.items():
        pool = [e for e in said if e.kind == kind]
        asked += [pool[i] for i in rng.permutation(len(pool))[:most]]
    shared = [Expression(noun, "attribute", truth.meaning.of(noun)) for noun in KINDS]
    return asked + [e for e in shared if len(e.targets) > 1][:1]
