"""Draws a scene at 256 x 256 and keeps which node owns each pixel."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ml.toytown.world.kinds import KINDS
from ml.toytown.world.scene import SIDE, Land, Scene, Thing, random_for

PALETTE = {
    "red": (206, 38, 38),
    "orange": (243, 130, 22),
    "yellow": (249, 211, 40),
    "green": (34, 122, 58),
    "blue": (40, 88, 208),
    "purple": (124, 54, 170),
    "pink": (250, 142, 190),
    "white": (246, 245, 240),
}
FIXED = {
    "tyre": (38, 38, 44),
    "wood": (112, 76, 50),
    "glass": (176, 212, 232),
    "frame": (250, 250, 246),
    "denim": (62, 66, 86),
    "lamp": (240, 180, 50),
    "stem": (70, 112, 44),
    "black": (24, 24, 28),
}
SKIN = ((244, 207, 176), (212, 160, 118), (140, 92, 64))
SKIES = {
    "blue": ((104, 172, 234), (206, 232, 248)),
    "pink": ((222, 142, 190), (255, 216, 216)),
    "orange": ((236, 158, 96), (254, 226, 164)),
}
GROUNDS = {"grass": ((142, 178, 92), (106, 152, 66)), "sand": ((238, 220, 168), (216, 188, 128))}
WATER = ((110, 178, 206), (58, 132, 176))
HILL, ROAD = (120, 154, 112), (116, 116, 124)
_LINE = np.linspace(-1, 1, SIDE, dtype=np.float32)
VIGNETTE = 1 - 0.07 * (_LINE[:, None] ** 2 + _LINE**2)
FINE = 4  # supersampling of outlines


@dataclass(frozen=True)
class Drawing:
    """`image`: uint8 [H, W, 3] RGB. `owner`: int16 [H, W], the id of the front-most, finest node at each pixel."""

    scene: Scene
    image: np.ndarray
    owner: np.ndarray

    @cached_property
    def masks(self) -> np.ndarray:
        """The visible pixels of each node, bool [nodes, H, W]; a parent holds its children's."""
        masks = self.owner[None] == np.arange(len(self.scene.nodes))[:, None, None]
        for node in reversed(self.scene.nodes):
            if node.parent >= 0:
                masks[node.parent] |= masks[node.id]
        return masks

    @cached_property
    def areas(self) -> np.ndarray:
        """int64 [nodes], visible pixels."""
        return self.masks.sum((1, 2), dtype=np.int64)

    @cached_property
    def boxes(self) -> np.ndarray:
        """float64 [nodes, 4], xyxy in pixels, zero where nothing is visible."""
        boxes = np.zeros((len(self.areas), 4))
        for i in np.flatnonzero(self.areas):
            xs, ys = np.flatnonzero(self.masks[i].any(0)), np.flatnonzero(self.masks[i].any(1))
            boxes[i] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
        return boxes


def draw(scene: Scene) -> Drawing:
    """Paint a scene: background, then every thing from back to front, then light and grain."""
    rng = random_for(scene.key + "/paint")
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    owner = np.zeros((SIDE, SIDE), np.int16)
    _background(canvas, owner, scene, rng)
    for i, thing in enumerate(scene.things):
        _shadow(canvas, thing)
        _thing(canvas, owner, thing, scene.thing_nodes[i], scene.part_nodes[i], rng)
    return Drawing(scene, _develop(canvas, rng), owner)


def _rgb(value: tuple[int, ...]) -> np.ndarray:
    return np.array(value, np.float32)


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise, float32 [H, W] around 0 with standard deviation about 1; `cells`: rows and columns."""
    coarse = rng.standard_normal(cells, np.float32)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def _fractal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return sum(_noise(rng, (rows * 2**k, columns * 2**k)) / 2**k for k in range(4)) / 1.3  # type: ignore[return-value]


def _gradient(top: tuple[int, ...], bottom: tuple[int, ...], y0: float, y1: float) -> np.ndarray:
    """float32 [H, 1, 3], from `top` at row y0 to `bottom` at row y1."""
    t = np.clip((np.arange(SIDE, dtype=np.float32) - y0) / (y1 - y0), 0, 1)[:, None, None]
    return _rgb(top) * (1 - t) + _rgb(bottom) * t


def _lay(canvas: np.ndarray, owner: np.ndarray, paint: np.ndarray, alpha: np.ndarray, node: int) -> None:
    """Blend `paint` over the canvas by `alpha` [H, W]; the node owns what it covers by half."""
    covered = np.flatnonzero(alpha.any(1))
    if len(covered):
        rows = slice(covered[0], covered[-1] + 1)
        canvas[rows] += (paint[rows] - canvas[rows]) * alpha[rows, :, None]
        owner[rows][alpha[rows] > 0.5] = node


def _below(edge: np.ndarray | float) -> np.ndarray:
    """float32 [H, W]: 1 below a (wavy) edge, smooth within its pixel."""
    rows = np.arange(SIDE, dtype=np.float32)[:, None]
    return np.clip(rows - np.broadcast_to(np.asarray(edge, np.float32), (SIDE,)) + 0.5, 0, 1)


def _background(canvas: np.ndarray, owner: np.ndarray, scene: Scene, rng: np.random.Generator) -> None:
    land = scene.land
    seen = int(land.horizon) + 2
    canvas[:seen] = _sky(land, rng, seen)
    owner[:] = scene.stuff("sky")
    if land.hills:
        bumps = cv2.resize(rng.random((1, 5), np.float32), (SIDE, 1), interpolation=cv2.INTER_CUBIC)[0]
        shade = _gradient((150, 176, 150), HILL, land.horizon - 34, land.horizon) + 4 * _noise(rng, (60, 60))[..., None]
        _lay(canvas, owner, shade, _below(land.horizon - 8 - 28 * bumps), scene.stuff("hill"))
    if land.water:
        ripples = _noise(rng, (110, 14)) * np.linspace(2, 7, SIDE, dtype=np.float32)[:, None]
        paint = _gradient(*WATER, land.horizon, land.water) + ripples[..., None]
        _lay(canvas, owner, paint, _below(land.horizon), scene.stuff("water"))
    shore = land.top + (2.5 * _noise(rng, (1, 7))[0] if land.water else 0)
    _lay(canvas, owner, _ground(land, rng), _below(shore), scene.stuff(land.ground))
    if land.road:
        _road(canvas, owner, land.road, scene.stuff("road"), rng)


def _sky(land: Land, rng: np.random.Generator, rows: int) -> np.ndarray:
    """float32 [rows, W, 3]: the top of the picture, with a sun and clouds."""
    paint = _gradient(*SKIES[land.sky], 0, land.horizon)[:rows].repeat(SIDE, 1)
    x, y = rng.uniform(20, SIDE - 20), rng.uniform(14, land.horizon * 0.7)
    across, down = (np.exp(-((np.arange(SIDE, dtype=np.float32) - at) ** 2) / 1400) for at in (x, y))
    paint += (_rgb((255, 246, 214)) - paint) * (0.8 * down[:rows, None] * across)[..., None]
    clouds = np.clip((_fractal(rng, 5, 3)[:rows] - 0.35) * 0.9, 0, 0.8)[..., None]
    paint += (_rgb((255, 253, 250)) - paint) * clouds
    return paint


def _ground(land: Land, rng: np.random.Generator) -> np.ndarray:
    paint = _gradient(*GROUNDS[land.ground], land.top, SIDE)
    patches = 7 * _fractal(rng, 8, 4)
    blades = (9 if land.ground == "grass" else 3) * _noise(rng, (128, 256) if land.ground == "grass" else (256, 256))
    return paint + (patches + blades * 0.7)[..., None]


def _road(
    canvas: np.ndarray, owner: np.ndarray, edges: tuple[float, float], node: int, rng: np.random.Generator
) -> None:
    top, bottom = edges
    paint = _rgb(ROAD) + 4 * _noise(rng, (128, 128))[..., None]
    kerb = _below(top - 2) * (1 - _below(bottom + 2))
    canvas += (_rgb((206, 202, 192)) - canvas) * kerb[..., None]
    dash = (np.arange(SIDE) + int(rng.integers(32))) % 32 < 16
    middle = int((top + bottom) / 2)
    paint[middle : middle + 2, dash] = (236, 232, 214)
    _lay(canvas, owner, paint, _below(top) * (1 - _below(bottom)), node)


def _shadow(canvas: np.ndarray, thing: Thing) -> None:
    """A soft ellipse on the ground below a thing that stands."""
    if thing.kind == "bird" and thing.variant == 1:
        return
    rx = KINDS[thing.kind].size[0] * thing.scale * 0.56
    ry = max(2.5, rx * 0.2)
    x0, x1 = max(0, int(thing.x - 1.5 * rx)), min(SIDE, int(thing.x + 1.6 * rx))
    y0, y1 = max(0, int(thing.y - 2 * ry)), min(SIDE, int(thing.y + 2 * ry) + 1)
    cols, rows = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)[:, None]
    far = ((cols - thing.x - 0.1 * rx) / rx) ** 2 + ((rows - thing.y) / ry) ** 2
    canvas[y0:y1, x0:x1] *= (1 - 0.42 * np.exp(-1.6 * far))[..., None]


def _thing(
    canvas: np.ndarray,
    owner: np.ndarray,
    thing: Thing,
    node: int,
    parts: dict[tuple[str, int], int],
    rng: np.random.Generator,
) -> None:
    tones = _tones(thing, rng)
    flip = np.array([-1 if thing.mirrored else 1, -1]) * thing.scale
    for shape in thing.shapes:
        outline = shape.outline * flip + (thing.x, thing.y)
        _fill(canvas, owner, outline, tones[shape.tone], parts.get((shape.part, shape.number), node))


def _tones(thing: Thing, rng: np.random.Generator) -> dict[str, np.ndarray]:
    main = np.clip(_rgb(PALETTE[thing.colour]) * rng.uniform(0.95, 1.03) + rng.normal(0, 2, 3), 0, 255)
    own = {"main": main, "dark": main * 0.76, "deep": main * 0.5, "light": main * 0.5 + 120}
    fixed = {name: _rgb(value) for name, value in FIXED.items()}
    return fixed | own | {"skin": _rgb(SKIN[rng.integers(len(SKIN))])}


def _fill(canvas: np.ndarray, owner: np.ndarray, outline: np.ndarray, tone: np.ndarray, node: int) -> None:
    """Fill an outline with a tone that is lighter at the upper left and darker along its edge."""
    x0, y0 = np.clip(np.floor(outline.min(0)).astype(int) - 1, 0, SIDE)
    x1, y1 = np.clip(np.ceil(outline.max(0)).astype(int) + 2, 0, SIDE)
    if x1 <= x0 or y1 <= y0:
        return
    fine = np.zeros(((y1 - y0) * FINE, (x1 - x0) * FINE), np.uint8)
    points = np.round(((outline - (x0, y0)) * FINE - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(fine, [points], 255, shift=4)
    alpha = cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    inner = cv2.blur(alpha, (5, 5), borderType=cv2.BORDER_CONSTANT)
    height, width = alpha.shape
    light = 1.1 - 0.2 * (np.arange(height, dtype=np.float32)[:, None] + np.arange(width) * 0.5) / (height + width * 0.5)
    paint = np.minimum(tone * (light * (0.66 + 0.34 * inner))[..., None], 255).astype(np.float32)
    _lay(canvas[y0:y1, x0:x1], owner[y0:y1, x0:x1], paint, alpha, node)


def _develop(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, a faint vignette and film grain; uses the canvas up."""
    exposure = rng.uniform(0.95, 1.04)
    canvas *= (VIGNETTE * np.float32(exposure))[..., None]
    canvas += (rng.standard_normal((SIDE, SIDE), np.float32) * 2.5)[..., None]
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
