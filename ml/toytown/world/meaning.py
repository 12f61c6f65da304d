"""Which regions a phrase of the town's English means, read off the true scene.

This is the judge: benchmarks keep only phrases that it finds unambiguous, and pseudo-labels are scored by it.
"""

import re
from collections.abc import Callable
from functools import cached_property

import cv2
import numpy as np

from ml.toytown.world.draw import Drawing
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.language import NUMBERS, plural
from ml.toytown.world.places import Placed, read
from ml.toytown.world.scene import COLOURS, SCALES, SIDE, Node
from ml.toytown.world.standing import standing

MARGIN = 0.08 * SIDE  # least distance of two centres, in pixels, for left of, right of, above, below
LARGER = 1.3  # least ratio of areas
VISIBLE = 12  # pixels a node must show to be meant
SINGULAR = {plural(noun): noun for noun in KINDS}
AXES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
RELATIONS = (*AXES, "inside", "overlapping", "larger than")
SUPERLATIVES: dict[str, Callable[["Meaning", int], float]] = {
    "leftmost": lambda town, i: -town.centres[i, 0] / SIDE,
    "rightmost": lambda town, i: town.centres[i, 0] / SIDE,
    "topmost": lambda town, i: -town.centres[i, 1] / SIDE,
    "bottommost": lambda town, i: town.centres[i, 1] / SIDE,
    "largest": lambda town, i: float(np.log(town.drawing.areas[i])) / 4,
    "smallest": lambda town, i: -float(np.log(town.drawing.areas[i])) / 4,
}
LEAD = 0.06  # by which a superlative must win, in image sides (or a quarter of the log of the area ratio)
_RELATION = re.compile(rf"^(.+?) (?:to the )?({'|'.join(RELATIONS)}) (.+)$")
_SIDED = re.compile(r"^(.+) on the (left|right)$")
_ARTICLE = re.compile(r"^(?:the|a|an) ")


class Meaning:
    """The reader of one drawing. `loose` meanings add what a person might also point at."""

    drawing: Drawing
    centres: np.ndarray  # float64 [nodes, 2], x and y of the middle of each box

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.nodes = [node for node in drawing.scene.nodes if drawing.areas[node.id] >= VISIBLE]
        self.centres = (drawing.boxes[:, :2] + drawing.boxes[:, 2:]) / 2

    @cached_property
    def touching(self) -> np.ndarray:
        """Whether masks of two objects touch: bool [nodes, nodes]."""
        objects = [node.id for node in self.nodes if node.level == "object"]
        grown = {i: cv2.dilate(self.drawing.masks[i].view(np.uint8), np.ones((3, 3), np.uint8)) for i in objects}
        touching = np.zeros((len(self.centres), len(self.centres)), bool)
        for a in objects:
            for b in objects:
                touching[a, b] = a != b and bool((grown[a][self.drawing.masks[b]]).any())
        return touching

    def of(self, text: str, loose: bool = False) -> tuple[int, ...]:
        """Ids of the nodes that a phrase means; none where it means nothing here."""
        text = _ARTICLE.sub("", text.strip().lower())
        if placed := read(text):
            return self._placed(placed, loose)
        if sided := _SIDED.match(text):
            return self.of(f"{sided[2]}most {sided[1]}", loose)
        word, _, rest = text.partition(" ")
        if word in SUPERLATIVES:
            return self._extreme(word, self._plain(rest), loose)
        part, _, whole = text.partition(" of ")
        if whole and part != "group" and " " not in part:
            wholes = self.of(whole, loose)
            return tuple(node.id for node in self.nodes if node.kind == part and node.parent in wholes)
        if related := _RELATION.match(text):
            anchors = self.of(related[3], loose)
            return tuple(
                a
                for a in self._plain(related[1])
                if any(a != b and self.holds(related[2], a, b, loose) for b in anchors)
            )
        return self._plain(text)

    def clear(self, text: str) -> tuple[int, ...]:
        """The meaning of a phrase that nobody could misread: strict and loose readings agree; else nothing."""
        strict = self.of(text)
        return strict if strict == self.of(text, loose=True) else ()

    def holds(self, relation: str, a: int, b: int, loose: bool = False) -> bool:
        """Whether node a stands in a relation to node b, by the visible masks."""
        if relation in AXES:
            axis, sign = AXES[relation]
            along, across = (self.centres[a] - self.centres[b])[[axis, 1 - axis]]
            return bool(sign * along > MARGIN / 2 if loose else sign * along > MARGIN and abs(along) >= abs(across))
        if relation == "larger than":
            ratio = self.drawing.areas[a] / self.drawing.areas[b]
            return bool(ratio >= (1.1 if loose else LARGER))
        if relation == "overlapping":
            return bool(self.touching[a, b])
        x0, y0, x1, y1 = self.drawing.boxes[b].astype(int)
        held = self.drawing.masks[a, y0:y1, x0:x1].sum() / self.drawing.areas[a]
        return bool(held >= (0.7 if loose else 0.9))

    def _placed(self, placed: Placed, loose: bool) -> tuple[int, ...]:
        """Meaning of people's own words of place: those of the thing's name that are so placed."""
        among = self._plain(placed.thing)
        if placed.place in SUPERLATIVES:
            return self._extreme(placed.place, among, loose)
        if placed.place in RELATIONS:
            return self.of(f"{placed.thing} {placed.place} {placed.anchors[0]}", loose)
        anchors = [self.of(anchor, loose) or self._plain(_singular(anchor)) for anchor in placed.anchors]
        return standing(placed.place, self, among, anchors, loose)

    def _extreme(self, word: str, among: tuple[int, ...], loose: bool) -> tuple[int, ...]:
        values = [SUPERLATIVES[word](self, i) for i in among]
        best = max(values, default=0.0)
        return tuple(i for i, value in zip(among, values, strict=True) if value >= best - LEAD * loose)

    def _plain(self, text: str) -> tuple[int, ...]:
        """Meaning of a phrase without relation: "red car", "group of three red balls", "two balls", "green grass"."""
        words = _ARTICLE.sub("", text).removeprefix("group of ").split()
        if len(words) > 1 and words[0] in NUMBERS:
            return self._several(NUMBERS.index(words[0]), words[1:])
        return tuple(node.id for node in self.nodes if node.level != "group" and _fits(node, words))

    def _several(self, count: int, words: list[str]) -> tuple[int, ...]:
        words = _singular(" ".join(words)).split()
        groups = [node.id for node in self.nodes if node.level == "group" and node.count == count]
        fitting = tuple(i for i in groups if _fits(self.drawing.scene.nodes[i], words))
        loners = self._plain(" ".join(words))
        return fitting or (loners if len(loners) == count else ())


def _singular(words: str) -> str:
    return " ".join(SINGULAR.get(word, word) for word in words.split())


def _fits(node: Node, words: list[str]) -> bool:
    """Whether a node is of the noun that ends `words` and has the colour and size that stand before it."""
    if not words or node.kind != words[-1]:
        return False
    known = {node.colour, node.size}
    return all(word in known and (word in COLOURS or word in SCALES or word == "gray") for word in words[:-1])
