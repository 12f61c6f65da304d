"""Histograms of mask properties for the reports."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, COLOURS = "#333333", ("#b8c4d6", "#1f6feb")
BINS = {
    "predicted_iou": np.linspace(0.5, 1.1, 61),
    "stability_score": np.linspace(0.7, 1.0, 61),
    "area": np.logspace(-5, 0, 61),
}
TITLES = {"predicted_iou": "predicted IoU", "stability_score": "stability score", "area": "area / image"}


def histograms(series: Mapping[str, Mapping[str, np.ndarray]]) -> bytes:
    """A PNG with one panel a property of BINS; `series`: legend -> property -> values, drawn over each other."""
    figure = Figure(figsize=(9, 2.6), dpi=110)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.88, bottom=0.11)  # fitted layouts draw everything twice
    for axes, (name, bins) in zip(figure.subplots(1, len(BINS)), BINS.items(), strict=True):
        for (label, values), colour in zip(series.items(), COLOURS[-len(series) :], strict=True):
            heights, _ = np.histogram(np.clip(values[name], bins[0], bins[-1]), bins)
            axes.stairs(heights, bins, fill=True, color=colour, label=label)
        if name == "area":
            axes.set_xscale("log")
            axes.minorticks_off()  # a tick costs more than a bar
        axes.set_title(TITLES[name], fontsize=9, color=INK)
        axes.tick_params(labelsize=7, colors=INK)
        axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        figure.axes[0].legend(fontsize=7, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})  # the default takes longer than all else
    return file.getvalue()
