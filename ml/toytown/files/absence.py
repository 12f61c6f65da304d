"""The absence benchmark: things that a scene holds, and near misses of them that it does not."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ml.params import Params
from ml.toytown.files.annotations import write_lines
from ml.toytown.world.draw import Drawing
from ml.toytown.world.expressions import Expression, expressions, spoken
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import COLOURS, HELD_OUT, random_for

MOST = 3  # that are there, and as many that are not, of a kind an image; nouns are all asked for
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_RELATION = re.compile(rf"(?<= )({'|'.join(OPPOSITE)})(?= )")


def write_absence(folder: Path, params: Params) -> None:
    """Write `params.toytown.absence_images` images and `absence_val.jsonl` under `folder`."""
    write_lines(folder, "absence", params.toytown.absence_images, params, _asked_of)


def _asked_of(drawing: Drawing) -> dict[str, Any]:
    """What one image is asked for; a thing is absent where its phrase means nothing."""
    rng, town = random_for(f"{drawing.scene.key}/absence"), Meaning(drawing)
    names = [Expression(noun, "name", town.of(noun)) for noun in KINDS]
    asked = [*names, *_some(_coloured(town), rng), *_some(_placed(town), rng)]
    return {"queries": [{"text": spoken(e, rng), "kind": e.kind, "present": bool(e.targets)} for e in asked]}


def _some(pool: list[Expression], rng: np.random.Generator) -> list[Expression]:
    """A few that mean something, and a few that mean nothing."""
    sides = [e for e in pool if e.targets], [e for e in pool if not e.targets]
    return [side[i] for side in sides for i in rng.permutation(len(side))[:MOST]]


def _coloured(town: Meaning) -> list[Expression]:
    """The kinds that are there in every colour, but for what is held out."""
    pairs = [(colour, noun) for noun in KINDS if town.of(noun) for colour in COLOURS if (colour, noun) not in HELD_OUT]
    return [Expression(text, "attribute", town.of(text)) for text in (f"{colour} {noun}" for colour, noun in pairs)]


def _placed(town: Meaning) -> list[Expression]:
    """Relations that hold, and of the same those that mean nothing when they are turned round.

    Only relations that have an opposite: the words alone do not tell then which side a phrase is of. Nobody could
    misread one that is absent: it means nothing loosely either.
    """
    held = [e for e in expressions(town.drawing) if e.kind == "relation" and _RELATION.search(e.text)]
    texts = [_RELATION.sub(lambda found: OPPOSITE[found[1]], e.text) for e in held]
    return held + [Expression(text, "relation", ()) for text in texts if not town.of(text, loose=True)]
