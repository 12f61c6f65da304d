"""The town: which objects stand where in a scene, as a tree of nodes, from (seed, split, index) alone.

Splits draw from disjoint random streams: "pretrain" (the backbones), "sa_NNNNNN" (a training shard), and one a
benchmark split. The combinations in `HELD_OUT` appear only in scenes asked for with `holdout=True`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from ml.toytown.world.kinds import KINDS, Shape, parts

SIDE = 256  # pixels, of every picture
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SCALES = {"small": 1.3, "large": 2.1}
HELD_OUT = frozenset(
    {
        ("red", "boat"),
        ("blue", "tree"),
        ("yellow", "car"),
        ("purple", "house"),
        ("green", "ball"),
        ("pink", "person"),
    }
)
GROUPED = ("ball", "flower", "bird", "person", "dog", "tree")
MAX_COVERED = 0.34  # of an object's box, by the boxes in front of it


@dataclass(frozen=True)
class Node:
    """A region of a scene. `level`: part, object, group or scene; `parent`: id of the node above, -1 for none.

    `kind` is the noun; `colour` of a part is its object's, of a group None when its members differ.
    """

    id: int
    level: str
    kind: str
    colour: str | None
    size: str | None = None
    count: int = 1
    parent: int = -1


@dataclass(frozen=True)
class Thing:
    """An object as it is placed: x, y of its bottom centre in pixels (y down), and which look it has."""

    kind: str
    colour: str
    size: str
    x: float
    y: float
    scale: float
    mirrored: bool
    variant: int
    group: int = -1

    @property
    def shapes(self) -> list[Shape]:
        """Its outlines, back to front, in design pixels around its bottom centre, y up."""
        return KINDS[self.kind].variants[self.variant]()

    @property
    def box(self) -> np.ndarray:
        """Box xyxy in pixels, before occlusion."""
        w, h = (side * self.scale for side in KINDS[self.kind].size)
        return np.array([self.x - w / 2, self.y - h, self.x + w / 2, self.y])


@dataclass(frozen=True)
class Land:
    """The background: y of the horizon, of the water's lower edge, and of the road's edges; None where absent."""

    horizon: float
    water: float | None
    road: tuple[float, float] | None
    hills: bool
    ground: str
    sky: str

    @property
    def top(self) -> float:
        """The y where the ground begins."""
        return self.water or self.horizon


@dataclass(frozen=True)
class Scene:
    """A scene: its background, its things back to front, and its tree of nodes.

    `thing_nodes[i]`: the node of thing i; `part_nodes[i]`: of its parts, by (name, number).
    """

    key: str
    land: Land
    things: tuple[Thing, ...]
    nodes: tuple[Node, ...]
    thing_nodes: tuple[int, ...]
    part_nodes: tuple[dict[tuple[str, int], int], ...]

    def children(self, node: int) -> list[Node]:
        """The nodes right below the one with this id."""
        return [child for child in self.nodes if child.parent == node]

    def stuff(self, kind: str) -> int:
        """The id of the background node of this kind."""
        return next(node.id for node in self.nodes if node.level == "scene" and node.kind == kind)


def random_for(key: str) -> np.random.Generator:
    """A generator that depends on the key's text alone, the same on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))


def scene(seed: int, index: int, split: str, holdout: bool = False) -> Scene:
    """Scene `index` of a split. With `holdout` at least one object is a held-out combination."""
    key = f"{seed}/{split}/{index}"
    rng = random_for(key)
    while True:
        cast = _cast(rng, holdout)
        land = _land(rng, {kind for members in cast for kind, _, _ in members})
        things = _place(rng, cast, land)
        held = any((thing.colour, thing.kind) in HELD_OUT for thing in things)
        if len(things) >= 4 and (held or not holdout):
            return _tree(key, land, sorted(things, key=lambda thing: thing.y))


def _colour(rng: np.random.Generator, kind: str, holdout: bool) -> str:
    allowed = [colour for colour in COLOURS if holdout or (colour, kind) not in HELD_OUT]
    return str(rng.choice(allowed))


def _size(rng: np.random.Generator) -> str:
    return "small" if rng.random() < 0.5 else "large"


def _cast(rng: np.random.Generator, holdout: bool) -> list[list[tuple[str, str, str]]]:
    """Who appears: lists of (kind, colour, size), a list of several being a group."""
    cast = []
    names = list(KINDS)
    repeated = str(rng.choice(names))
    if holdout:
        colour, repeated = sorted(HELD_OUT)[rng.integers(len(HELD_OUT))]
        cast.append([(repeated, colour, _size(rng))])
    for _ in range(rng.integers(2, 4) - len(cast)):
        cast.append([(repeated, _colour(rng, repeated, holdout), _size(rng))])
    if rng.random() < 0.45:
        cast.append(_group(rng, holdout, repeated))
    wanted = rng.integers(4, 9)
    while sum(map(len, cast)) < wanted:
        kind = str(rng.choice(names))
        cast.append([(kind, _colour(rng, kind, holdout), _size(rng))])
    return cast


def _group(rng: np.random.Generator, holdout: bool, other_than: str) -> list[tuple[str, str, str]]:
    kind = str(rng.choice([kind for kind in GROUPED if kind != other_than]))
    count = int(rng.integers(2, 5))
    size = "small" if kind in ("tree", "dog") else _size(rng)
    shared = _colour(rng, kind, holdout) if rng.random() < 0.7 else None
    return [(kind, shared or _colour(rng, kind, holdout), size) for _ in range(count)]


def _land(rng: np.random.Generator, kinds: set[str]) -> Land:
    horizon = float(rng.uniform(84, 112))
    wet = "boat" in kinds or rng.random() < 0.15
    water = horizon + float(rng.uniform(44, 58)) if wet else None
    middle = float(rng.uniform(186, 212))
    paved = bool(kinds & {"car", "truck"}) and rng.random() < 0.75
    road = (middle - 18, middle + 20) if paved else None
    sky = str(rng.choice(["blue", "blue", "blue", "pink", "orange"]))
    return Land(horizon, water, road, bool(rng.random() < 0.55), str(rng.choice(["grass", "grass", "sand"])), sky)


def _place(rng: np.random.Generator, cast: list[list[tuple[str, str, str]]], land: Land) -> list[Thing]:
    placed: list[Thing] = []
    for number, members in enumerate(cast):
        for _ in range(30):
            fresh = _arrange(rng, members, land, number if len(members) > 1 else -1)
            if _inside(fresh) and _clear(placed + fresh):
                placed += fresh
                break
    return placed


def _arrange(rng: np.random.Generator, members: list[tuple[str, str, str]], land: Land, group: int) -> list[Thing]:
    """Things side by side around a random spot of their zone."""
    kind = KINDS[members[0][0]]
    zone = str(rng.choice(kind.zones))
    low, high = _zone(zone, land)
    x, y = rng.uniform(6, SIDE - 6), rng.uniform(low, high)
    variant = 1 if zone == "sky" else 0 if kind.noun == "bird" else int(rng.integers(len(kind.variants)))
    things = []
    for noun, colour, size in members:
        scale = SCALES[size] * float(rng.uniform(0.94, 1.06))
        half = KINDS[noun].size[0] * scale / 2
        base = y + float(rng.uniform(-4, 4)) * (group >= 0)
        mirrored = bool(rng.random() < 0.5)
        things.append(Thing(noun, colour, size, x + half, base, scale, mirrored, variant, group))
        x += 2 * half * float(rng.uniform(0.98, 1.12))
    return things


def _zone(zone: str, land: Land) -> tuple[float, float]:
    """Lowest and highest y of the bottom of a thing in a zone."""
    if zone == "sky":
        return 26, land.horizon - 22
    if zone == "water":
        return land.horizon + 14, (land.water or land.horizon) - 4
    if zone == "road" and land.road:
        return land.road[0] + 12, land.road[1] - 3
    return land.top + 10, SIDE - 6


def _inside(things: list[Thing]) -> bool:
    return all((t.box[:2] >= 2).all() and (t.box[2:] <= SIDE - 2).all() for t in things)


def _clear(things: list[Thing]) -> bool:
    """Whether the boxes in front leave enough of every box to be seen."""
    for behind in things:
        covered = sum(_overlap(behind.box, t.box) for t in things if t.y > behind.y)
        if covered > MAX_COVERED:
            return False
    return True


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of box `a` that `b` covers."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    return float(shared.prod() / (a[2:] - a[:2]).prod())


def _tree(key: str, land: Land, things: list[Thing]) -> Scene:
    nodes: list[Node] = []

    def add(**fields: object) -> int:
        nodes.append(Node(id=len(nodes), **fields))  # type: ignore[arg-type]
        return len(nodes) - 1

    for kind, colour in _stuff(land):
        add(level="scene", kind=kind, colour=colour)
    groups = {}
    for number in sorted({thing.group for thing in things} - {-1}):
        members = [thing for thing in things if thing.group == number]
        first, same = members[0], len({thing.colour for thing in members}) == 1
        groups[number] = add(level="group", kind=first.kind, colour=first.colour if same else None, count=len(members))
    thing_nodes, part_nodes = [], []
    for thing in things:
        parent = groups.get(thing.group, -1)
        node = add(level="object", kind=thing.kind, colour=thing.colour, size=thing.size, parent=parent)
        thing_nodes.append(node)
        part_nodes.append(
            {part: add(level="part", kind=part[0], colour=thing.colour, parent=node) for part in parts(thing.shapes)}
        )
    return Scene(key, land, tuple(things), tuple(nodes), tuple(thing_nodes), tuple(part_nodes))


def _stuff(land: Land) -> list[tuple[str, str]]:
    """The background's nouns and colours, back to front."""
    rows = [("sky", land.sky)]
    if land.hills:
        rows.append(("hill", "green"))
    if land.water:
        rows.append(("water", "blue"))
    rows.append((land.ground, {"grass": "green", "sand": "yellow"}[land.ground]))
    if land.road:
        rows.append(("road", "gray"))
    return rows
