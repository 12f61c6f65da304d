"""What each kind of object looks like: outlines in design pixels, origin at the bottom centre, y upwards.

Toytown's two sizes scale this: the area of a large object is more than twice a small one's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Outline = np.ndarray  # float [n, 2]


@dataclass(frozen=True)
class Shape:
    """A filled outline. Shapes with the same `part` and `number` make one part; `part` "" belongs to no part."""

    outline: Outline
    tone: str
    part: str = ""
    number: int = 0


@dataclass(frozen=True)
class Kind:
    """`size`: width and height of the small version in pixels. `variants`: one function a look, back to front."""

    noun: str
    plural: str
    size: tuple[int, int]
    zones: tuple[str, ...]
    flickr_type: str
    variants: tuple[Callable[[], list[Shape]], ...]


def _box(x0: float, y0: float, x1: float, y1: float) -> Outline:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def _poly(*points: tuple[float, float]) -> Outline:
    return np.array(points, float)


def _oval(x: float, y: float, rx: float, ry: float | None = None, tilt: float = 0.0) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    u, v = rx * np.cos(angle), (ry or rx) * np.sin(angle)
    return np.stack([x + u * np.cos(tilt) - v * np.sin(tilt), y + u * np.sin(tilt) + v * np.cos(tilt)], 1)


def _window(x0: float, y0: float, x1: float, y1: float, number: int) -> list[Shape]:
    return [
        Shape(_box(x0, y0, x1, y1), "frame", "window", number),
        Shape(_box(x0 + 1, y0 + 1, x1 - 1, y1 - 1), "glass", "window", number),
    ]


def _wheel(x: float, r: float, number: int) -> list[Shape]:
    return [
        Shape(_oval(x, r, r), "tyre", "wheel", number),
        Shape(_oval(x, r, r * 0.52), "light", "wheel", number),
    ]


def _cottage() -> list[Shape]:
    return [
        Shape(_box(8, 28, 13, 43), "dark", "chimney"),
        Shape(_box(-17, 0, 17, 26), "main"),
        Shape(_poly((-20, 24), (0, 44), (20, 24)), "dark", "roof"),
        Shape(_box(-4, 0, 5, 14), "deep", "door"),
        *_window(-14, 9, -6, 18, 0),
        *_window(7, 9, 15, 18, 1),
    ]


def _barn() -> list[Shape]:
    return [
        Shape(_box(-13, 28, -8, 44), "dark", "chimney"),
        Shape(_box(-18, 0, 18, 27), "main"),
        Shape(_poly((-20, 25), (-13, 38), (13, 38), (20, 25)), "dark", "roof"),
        Shape(_box(-14, 0, -5, 16), "deep", "door"),
        *_window(0, 8, 13, 19, 0),
    ]


def _sedan() -> list[Shape]:
    return [
        Shape(_poly((-13, 12), (-8, 20), (6, 20), (12, 12)), "main"),
        Shape(_poly((-21, 4), (-21, 11), (-14, 13), (12, 13), (20, 11), (21, 4)), "main"),
        Shape(_poly((-10.5, 12.5), (-7, 18.5), (-1.5, 18.5), (-1.5, 12.5)), "glass", "window", 0),
        Shape(_poly((0, 12.5), (0, 18.5), (5, 18.5), (9, 12.5)), "glass", "window", 1),
        Shape(_oval(19.5, 9, 1.4), "lamp"),
        *_wheel(-12, 4.6, 0),
        *_wheel(12, 4.6, 1),
    ]


def _hatchback() -> list[Shape]:
    return [
        Shape(_poly((-19, 4), (-19, 15), (-15, 21), (4, 21), (11, 13), (19, 11), (20, 4)), "main"),
        Shape(_poly((-16, 13), (-13.5, 19), (-5, 19), (-5, 13)), "glass", "window", 0),
        Shape(_poly((-3, 13), (-3, 19), (3, 19), (8, 13)), "glass", "window", 1),
        Shape(_oval(18, 9, 1.4), "lamp"),
        *_wheel(-11, 4.8, 0),
        *_wheel(11, 4.8, 1),
    ]


def _truck() -> list[Shape]:
    return [
        Shape(_box(-24, 5, 7, 27), "main"),
        Shape(_box(-22, 12, 5, 16), "light"),
        Shape(_poly((8, 5), (24, 5), (24, 14), (20, 22), (8, 22)), "dark", "cab"),
        Shape(_poly((12, 13.5), (12, 20), (18.5, 20), (21.5, 13.5)), "glass", "window"),
        *_wheel(-15, 5, 0),
        *_wheel(15, 5, 1),
    ]


def _dinghy() -> list[Shape]:
    return [
        Shape(_box(-0.9, 8, 0.9, 40), "wood"),
        Shape(_poly((2, 12), (2, 38), (17, 12)), "light", "sail", 0),
        Shape(_poly((-2, 12), (-2, 33), (-13, 12)), "main", "sail", 1),
        Shape(_poly((-18, 9), (18, 9), (12, 0), (-12, 0)), "main", "hull"),
        Shape(_poly((-18, 9), (18, 9), (16.5, 6.6), (-16.5, 6.6)), "deep", "hull"),
    ]


def _round_tree() -> list[Shape]:
    lobes = [(-6, 23, 8), (6, 23, 8), (-5, 31, 8), (5, 31, 8), (0, 36, 8)]
    return [
        Shape(_poly((-3.4, 0), (3.4, 0), (2, 20), (-2, 20)), "wood", "trunk"),
        *(Shape(_oval(x, y, r), "main", "crown") for x, y, r in lobes),
    ]


def _pine() -> list[Shape]:
    tiers = [(14, 9, 24), (11, 18, 34), (8, 28, 44)]
    return [
        Shape(_box(-2.4, 0, 2.4, 12), "wood", "trunk"),
        *(Shape(_poly((-w, low), (0, high), (w, low)), "main", "crown") for w, low, high in tiers),
    ]


def _walker() -> list[Shape]:
    return [
        Shape(_box(-4.6, 0, -0.6, 14), "denim", "leg", 0),
        Shape(_box(0.6, 0, 4.6, 14), "denim", "leg", 1),
        Shape(_poly((-6, 25), (-8.4, 13), (-5.8, 12.5), (-3.5, 23)), "dark"),
        Shape(_poly((6, 25), (8.4, 13), (5.8, 12.5), (3.5, 23)), "dark"),
        Shape(_poly((-6.2, 25.5), (6.2, 25.5), (5, 12), (-5, 12)), "main"),
        Shape(_oval(0, 29.5, 4.3), "skin", "head"),
        Shape(_poly((-6, 31.5), (6, 31.5), (3.8, 36), (-3.8, 36)), "main", "hat"),
    ]


def _dancer() -> list[Shape]:
    return [
        Shape(_box(-3.6, 0, -0.9, 10), "skin", "leg", 0),
        Shape(_box(0.9, 0, 3.6, 10), "skin", "leg", 1),
        Shape(_poly((-4, 25), (-9, 15), (-6.8, 14), (-3, 21)), "dark"),
        Shape(_poly((4, 25), (9, 15), (6.8, 14), (3, 21)), "dark"),
        Shape(_poly((-4.2, 25.5), (4.2, 25.5), (7.5, 8), (-7.5, 8)), "main"),
        Shape(_oval(0, 29.5, 4.3), "skin", "head"),
        Shape(_poly((-6.4, 31.5), (6.4, 31.5), (2.6, 36), (-2.6, 36)), "main", "hat"),
    ]


def _dog() -> list[Shape]:
    legs = [-8.5, -4.5, 3.5, 7.5]
    return [
        Shape(_poly((-9, 12), (-14.5, 19), (-12.5, 20), (-7, 14)), "dark", "tail"),
        *(Shape(_box(x - 1.7, 0, x + 1.7, 9), "dark") for x in legs),
        Shape(_oval(-0.5, 10, 10.5, 5), "main"),
        Shape(_oval(9.5, 15.5, 5, 4.6), "main", "head"),
        Shape(_oval(13, 14, 2.8, 2.1), "light", "head"),
        Shape(_oval(6.8, 15.5, 1.8, 4.2, 0.3), "deep", "head"),
        Shape(_oval(10.8, 16.8, 0.9), "black", "head"),
    ]


def _perched_bird() -> list[Shape]:
    return [
        Shape(_box(-1.8, 0, -0.8, 5), "lamp"),
        Shape(_box(1.6, 0, 2.6, 5), "lamp"),
        Shape(_poly((-6, 8), (-14, 12), (-13.5, 6), (-6, 5)), "dark", "tail"),
        Shape(_oval(0, 8, 8.4, 5.2, 0.15), "main"),
        Shape(_poly((10.5, 14.5), (15, 12.6), (10.5, 11)), "lamp", "beak"),
        Shape(_oval(7.6, 12.6, 4.2), "main", "head"),
        Shape(_oval(8.8, 13.6, 0.9), "black", "head"),
        Shape(_oval(-2, 8.8, 5.8, 3, 0.15), "dark", "wing"),
    ]


def _flying_bird() -> list[Shape]:
    return [
        Shape(_poly((-6, 6), (-14, 9), (-13.5, 3), (-6, 3)), "dark", "tail"),
        Shape(_oval(0, 5, 8.8, 4.2, 0.1), "main"),
        Shape(_poly((10.5, 10), (15, 8.2), (10.5, 6.5)), "lamp", "beak"),
        Shape(_oval(8, 8, 3.8), "main", "head"),
        Shape(_oval(9.2, 8.8, 0.9), "black", "head"),
        Shape(_poly((4, 6), (0, 17), (-9, 17.5), (-4, 6)), "dark", "wing"),
    ]


def _ball() -> list[Shape]:
    upper = [(8.5 * np.cos(a), 8.5 + 8.5 * np.sin(a)) for a in np.linspace(0.32, np.pi - 0.32, 8)]
    lower = [(8.5 * np.cos(a), 8.5 + 8.5 * np.sin(a)) for a in np.linspace(np.pi + 0.32, 2 * np.pi - 0.32, 8)]
    return [
        Shape(_oval(0, 8.5, 8.5), "light", "stripe"),
        Shape(_poly(*upper), "main"),
        Shape(_poly(*lower), "main"),
    ]


def _flower() -> list[Shape]:
    petals = [(5 * np.cos(a), 22 + 5 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 6, endpoint=False)]
    return [
        Shape(_box(-1.1, 0, 1.1, 20), "stem", "stem"),
        Shape(_oval(4, 7, 4.4, 2, 0.6), "stem", "leaf", 0),
        Shape(_oval(-4, 9, 4.4, 2, -0.6), "stem", "leaf", 1),
        *(Shape(_oval(x, y, 3.9), "main", "blossom") for x, y in petals),
        Shape(_oval(0, 22, 3), "deep", "blossom"),
    ]


KINDS = {
    kind.noun: kind
    for kind in (
        Kind("house", "houses", (40, 44), ("ground",), "other", (_cottage, _barn)),
        Kind("car", "cars", (42, 21), ("road",), "vehicles", (_sedan, _hatchback)),
        Kind("truck", "trucks", (48, 27), ("road",), "vehicles", (_truck,)),
        Kind("boat", "boats", (36, 40), ("water",), "vehicles", (_dinghy,)),
        Kind("tree", "trees", (28, 44), ("ground",), "other", (_round_tree, _pine)),
        Kind("person", "people", (18, 36), ("ground",), "people", (_walker, _dancer)),
        Kind("dog", "dogs", (29, 20), ("ground",), "animals", (_dog,)),
        Kind("bird", "birds", (29, 17), ("ground", "sky"), "animals", (_perched_bird, _flying_bird)),
        Kind("ball", "balls", (17, 17), ("ground",), "other", (_ball,)),
        Kind("flower", "flowers", (18, 31), ("ground",), "other", (_flower,)),
    )
}


def parts(shapes: list[Shape]) -> list[tuple[str, int]]:
    """The parts that shapes make: (name, number), each once, back to front."""
    return list(dict.fromkeys((shape.part, shape.number) for shape in shapes if shape.part))
