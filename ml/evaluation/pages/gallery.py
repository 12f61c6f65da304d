"""Contact sheets of right and wrong answers: the image under its grounding map, the true and the chosen box."""

from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.evaluation.benchmarks.index import image_path
from ml.evaluation.metrics.outcomes import NOTHING, Outcome, outcomes
from ml.evaluation.predictions.files import Row, read
from ml.evaluation.predictions.predictor import Predictor
from ml.evaluation.predictions.proposals import Proposals
from ml.masks import Masks
from ml.params import Evaluation
from ml.sa1b.reading.reader import decode

SHOWN = ("refcoco", "refcocog", "flickr30k")
TILE, CAPTION, COLUMNS, GAP = 288, 62, 6, 8  # pixels, tiles
TRUE, RIGHT, WRONG = (255, 255, 255), (46, 204, 113), (231, 76, 60)
PAPER, INK = (250, 250, 248), (30, 30, 30)


def gallery(
    data: Path, predictions: Path, backbones: Path, checkpoint: Path, params: Evaluation, seed: int
) -> dict[str, bytes]:
    """PNG sheets `right` and `wrong`, each of at most `params.gallery` answers drawn at random from the predictions.

    White: the true box; green or red: the chosen one; warm colours: where the grounding map is high.
    """
    found = [
        (name, outcome)
        for name in SHOWN
        if (predictions / f"{name}.parquet").is_file()
        for outcome in outcomes(data, predictions, name)
    ]
    order = np.random.default_rng(seed).permutation(len(found))
    sheets: dict[str, list[tuple[str, Outcome]]] = defaultdict(list)
    for i in order:
        right = bool(found[i][1].ious) and found[i][1].ious[0] >= 0.5
        sheets["right" if right else "wrong"].append(found[i])
    predictor = Predictor.load(backbones, checkpoint, params)
    rows = {name: read(predictions / f"{name}.parquet") for name in {name for name, _ in found}}
    pictures = {}
    for title, chosen in sorted(sheets.items()):
        tiles = [
            tile(data, predictor, name, outcome, rows[name].get(outcome.query_id, NOTHING))
            for name, outcome in chosen[: params.gallery]
        ]
        pictures[title] = png(contact_sheet(tiles))
    return pictures


def tile(data: Path, predictor: Predictor, benchmark: str, outcome: Outcome, row: Row) -> Image.Image:
    """One answer: picture, heat map, boxes, and the question in words below."""
    pixels = decode(image_path(data, outcome.image).read_bytes())
    masks = Masks.parse(row["counts"], pixels.shape[:2])
    scores = np.asarray(row["scores"], np.float32)
    scene = predictor.scene(pixels, predictor.encode(pixels), Proposals(masks, scores, scores))
    answers = predictor.answer(scene, [outcome.text])
    heated = Image.fromarray(overlay(pixels, answers.maps[0]))
    scale = TILE / max(heated.size)
    side = (max(1, round(heated.width * scale)), max(1, round(heated.height * scale)))
    canvas = Image.new("RGB", (TILE, TILE + CAPTION), PAPER)
    canvas.paste(heated.resize(side, Image.Resampling.LANCZOS), (0, 0))
    draw = ImageDraw.Draw(canvas)
    right = bool(outcome.ious) and outcome.ious[0] >= 0.5
    drawn = [(box, TRUE) for box in outcome.truth] + [(box, RIGHT if right else WRONG) for box in row["boxes"][:1]]
    for box, colour in drawn:
        _rectangle(draw, box, scale, colour)
    iou = f"IoU {outcome.ious[0]:.2f}" if outcome.ious else "no mask"
    draw.text((2, TILE + 3), _wrapped(draw, outcome.text), font=_font(15), fill=INK)
    draw.text((2, TILE + 44), f"{benchmark}  {outcome.kind}  {iou}", font=_font(12), fill=RIGHT if right else WRONG)
    return canvas


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An RGB image `[H, W, 3]` with a map `[h, w]` in [0, 1] laid over it: the warmer, the higher."""
    size = (pixels.shape[1], pixels.shape[0])
    full = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    colours = colormaps["inferno"](np.clip(full, 0, 1))[..., :3] * 255
    opacity = 0.65 * np.clip(full, 0, 1)[..., None]
    return (pixels * (1 - opacity) + colours * opacity).round().astype(np.uint8)


def contact_sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    """Tiles of one size in rows of `COLUMNS`."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
    for i, picture in enumerate(tiles):
        sheet.paste(picture, (GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)))
    return sheet


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
