"""A sample sheet: images with their masks and phrases, and the relevance of two queries as heat maps."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.masks import Masks
from ml.sa1b.reader import decode, read_jpeg

Image = NDArray[np.uint8]
COLORS = {"part": "#ffd54f", "object": "#ff5252", "group": "#40c4ff", "scene": "#b2ff59"}


def sample_sheet(rows: Sequence[dict[str, Any]], tar: Path) -> bytes:
    """PNG bytes of a sheet, a line a row of `pseudo_labels`: the described masks, then two of its queries."""
    figure = Figure(figsize=(15, 5.2 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        image = decode(read_jpeg(tar, row["jpeg_offset"], row["jpeg_bytes"]))
        masks = Masks.parse(row["counts"], (row["height"], row["width"]))
        _phrases(line[0], image, masks, row)
        for axis, number in zip(line[1:], (0, len(row["queries"]) - 1), strict=True):
            _heat(axis, image, masks, row, number)
    for axis in axes.flat:
        axis.set_axis_off()
    out = BytesIO()
    figure.savefig(out, format="png", dpi=80, metadata={"Software": None})
    return out.getvalue()


def _phrases(axis: Axes, image: Image, masks: Masks, row: dict[str, Any]) -> None:
    axis.imshow(image)
    axis.set_title(row["caption"], fontsize=9, wrap=True)
    for i, (phrase, level) in enumerate(zip(row["phrases"], row["levels"], strict=True)):
        if phrase:
            axis.contour(masks.dense(i), levels=[0.5], colors=COLORS[level], linewidths=1.1)
    for i, (phrase, level) in enumerate(zip(row["phrases"], row["levels"], strict=True)):
        if phrase and level != "part":
            x, y, w, h = row["boxes"][i]
            style = {"facecolor": "black", "alpha": 0.65, "pad": 1.2, "edgecolor": "none"}
            axis.text(x + w / 2, y + h / 2, phrase, color=COLORS[level], fontsize=7, ha="center", bbox=style)


def _heat(axis: Axes, image: Image, masks: Masks, row: dict[str, Any], number: int) -> None:
    """The relevance map, max over masks of mask x relevance; the target's box is drawn."""
    query, relevance = row["queries"][number], row["relevance"][number]
    heat = np.zeros(masks.size, np.float32)
    for i in np.argsort(relevance):
        heat[masks.dense(int(i))] = np.maximum(heat[masks.dense(int(i))], relevance[i])
    axis.imshow(image.mean(axis=2), cmap="gray")
    axis.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    x, y, w, h = row["boxes"][query["target"]]
    axis.plot([x, x + w, x + w, x, x], [y, y, y + h, y + h, y], color="#00e5ff", linewidth=1.2)
    axis.set_title(f"{query['text']}  ({relevance[query['target']]:.2f})", fontsize=10)
