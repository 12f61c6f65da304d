"""Contact sheets of right and wrong answers: the image under its grounding map, the true and the chosen box."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.compute.pool import Pool
from ml.evaluation.benchmarks.index import image_path
from ml.evaluation.metrics.outcomes import NOTHING, Outcome, outcomes
from ml.evaluation.predictions.files import read
from ml.evaluation.predictions.loaded import Sources, models
from ml.sa1b.reading.reader import decode

SHOWN = ("refcoco", "refcocog", "flickr30k")
TILE, CAPTION, COLUMNS, GAP, LEGEND = 288, 62, 6, 8, 44  # pixels, tiles
TRUE, RIGHT, WRONG = (255, 255, 255), (46, 204, 113), (231, 76, 60)
PAPER, INK = (250, 250, 248), (30, 30, 30)


@dataclass(frozen=True)
class Tile:
    """An answer to be shown: of which benchmark, what became of it, the box xywh that was chosen, if any was."""

    benchmark: str
    outcome: Outcome
    chosen: list[list[float]]

    @property
    def right(self) -> bool:
        """Whether the chosen box has an IoU of at least 0.5 with a true one."""
        return bool(self.outcome.ious) and self.outcome.ious[0] >= 0.5


Place = tuple[str, int]  # the sheet, and the number of the tile on it


def gallery(data: Path, predictions: Path, sources: Sources, seed: int, pool: Pool) -> dict[str, bytes]:
    """PNG sheets `right` and `wrong`, each of at most `params.gallery` answers drawn at random from the predictions.

    White: the true box; green or red: the chosen one; warm colours: where the grounding map is high. `pool`: the one
    that predicted, whose processes hold the models; an image is encoded once for all its tiles.
    """
    sheets = choose(data, predictions, sources.params.gallery, seed)
    places: dict[str, dict[Place, Tile]] = defaultdict(dict)
    for title, tiles in sheets.items():
        for number, tile in enumerate(tiles):
            places[tile.outcome.image][title, number] = tile
    drawn: dict[Place, Image.Image] = {}
    for _, found in pool.map(partial(_drawn, data, sources, dict(places)), sorted(places)):
        drawn |= found
    return {
        title: png(contact_sheet([drawn[title, number] for number in range(len(tiles))]))
        for title, tiles in sorted(sheets.items())
    }


def choose(data: Path, predictions: Path, most: int, seed: int) -> dict[str, list[Tile]]:
    """At most `most` answers a sheet, at random, the same for a seed."""
    found = [
        (name, outcome)
        for name in SHOWN
        if (predictions / f"{name}.parquet").is_file()
        for outcome in outcomes(data, predictions, name)
    ]
    rows = {name: read(predictions / f"{name}.parquet") for name in {name for name, _ in found}}
    sheets: dict[str, list[Tile]] = defaultdict(list)
    for i in np.random.default_rng(seed).permutation(len(found)):
        name, outcome = found[i]
        tile = Tile(name, outcome, rows[name].get(outcome.query_id, NOTHING)["boxes"][:1])
        sheets["right" if tile.right else "wrong"].append(tile)
    return {title: tiles[:most] for title, tiles in sheets.items()}


def _drawn(data: Path, sources: Sources, places: dict[str, dict[Place, Tile]], image: str) -> dict[Place, Image.Image]:
    """The tiles that show one image."""
    pixels, tiles = decode(image_path(data, image).read_bytes()), places[image]
    _, answers = models(sources).predictor.predict(pixels, [tile.outcome.text for tile in tiles.values()])
    return {place: draw(tile, pixels, answers.maps[i]) for i, (place, tile) in enumerate(tiles.items())}


def draw(tile: Tile, pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    """One answer: picture, heat map, boxes, and the question in words below."""
    outcome, colour = tile.outcome, RIGHT if tile.right else WRONG
    heated = Image.fromarray(overlay(pixels, heat))
    scale = TILE / max(heated.size)
    side = (max(1, round(heated.width * scale)), max(1, round(heated.height * scale)))
    canvas = Image.new("RGB", (TILE, TILE + CAPTION), PAPER)
    canvas.paste(heated.resize(side, Image.Resampling.LANCZOS), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for box, line in [*((box, TRUE) for box in outcome.truth), *((box, colour) for box in tile.chosen)]:
        _rectangle(pen, box, scale, line)
    iou = f"IoU {outcome.ious[0]:.2f}" if outcome.ious else "no mask"
    pen.text((2, TILE + 3), _wrapped(pen, outcome.text), font=_font(15), fill=INK)
    pen.text((2, TILE + 44), f"{tile.benchmark}  {outcome.kind}  {iou}", font=_font(12), fill=colour)
    return canvas


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An RGB image `[H, W, 3]` with a map `[h, w]` in [0, 1] laid over it: the warmer, the higher."""
    size = (pixels.shape[1], pixels.shape[0])
    full = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    colours = colormaps["inferno"](np.clip(full, 0, 1))[..., :3] * 255
    opacity = 0.65 * np.clip(full, 0, 1)[..., None]
    return (pixels * (1 - opacity) + colours * opacity).round().astype(np.uint8)


def contact_sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    """Tiles of one size in rows of `COLUMNS`, below a legend."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, LEGEND + rows * (height + GAP) + GAP), PAPER)
    _legend(ImageDraw.Draw(sheet))
    for i, picture in enumerate(tiles):
        sheet.paste(picture, (GAP + i % columns * (width + GAP), LEGEND + GAP + i // columns * (height + GAP)))
    return sheet


def _legend(pen: ImageDraw.ImageDraw) -> None:
    """What each frame stands for, in two columns that a sheet of one tile holds."""
    for i, (line, words) in enumerate(((TRUE, "the truth"), (RIGHT, "chosen, right"), (WRONG, "chosen, wrong"))):
        x, y = GAP + i % 2 * TILE // 2, GAP + i // 2 * 22
        _rectangle(pen, [x + 2, y + 2, 20, 12], 1.0, line)
        pen.text((x + 32, y), words, font=_font(14), fill=INK)


def png(image: Image.Image) -> bytes:
    """The image as PNG bytes."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _rectangle(draw: ImageDraw.ImageDraw, box: Sequence[float], scale: float, colour: tuple[int, int, int]) -> None:
    x, y, w, h = (value * scale for value in box)
    draw.rectangle((x - 1, y - 1, x + w + 1, y + h + 1), outline=INK, width=4)
    draw.rectangle((x, y, x + w, y + h), outline=colour, width=2)


def _wrapped(draw: ImageDraw.ImageDraw, text: str, lines: int = 2) -> str:
    """The text in at most two lines as wide as a tile; what does not fit is cut with an ellipsis."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if draw.textlength(longer, _font(15)) <= TILE - 4:
            rows[-1] = longer
        elif len(rows) == lines:
            rows[-1] += " …"
            break
        else:
            rows.append(word)
    return "\n".join(rows)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
