"""The data card of a group of shards: what is trained on, what was left out and why, in words, numbers and pictures.

After Gebru et al., "Datasheets for Datasets", 2018. The same shards give the same bytes.
"""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ml.labeling.pictures import sample_sheet
from ml.labeling.training_set.statistics import BINS, LOGARITHMIC, LOPSIDED, Statistics
from ml.sa1b.shards.pictures import COLOURS, INK
from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

Row = Mapping[str, Any]
SHOWN = 4  # images on the sample sheet
FREQUENT = 12  # words told of each kind of text
COUNTED = ("images", "train_images", "validation_images", "left_out_images", "masks", "described", "queries")
SUFFIXES = (".card.md", ".histograms.png", ".samples.png")


def write_card(manifest: Path, tars: Path, index: Path, kept: Path, labels: Path) -> Report:
    """Write the card and its two pictures beside the manifest of a group; the folders are those of the stages.

    Raises:
        UserError: a file of a shard is missing or broken.
    """
    group = json.loads(manifest.read_text(encoding="utf-8"))
    shards = [member["shard"] for member in group["shards"]]
    found = Statistics()
    for name in shards:
        found.add_shard(index / f"{name}.rejects.parquet", kept / f"{name}.parquet", labels / f"{name}.parquet")
    first = labels / f"{shards[0]}.parquet"
    pictures = {"histograms": histograms(found), "samples": samples(first, tars / f"{shards[0]}.tar")}
    shown = tables(found)
    files = [manifest.with_suffix(suffix) for suffix in SUFFIXES]
    text = card(group, found, shown, [file.name for file in files[1:]])
    for file, content in zip(files, [text.encode(), *pictures.values()], strict=True):
        with atomic_path(file) as tmp:
            tmp.write_bytes(content)
    return Report(tables=shown, pictures=pictures)


def card(group: Row, found: Statistics, shown: Mapping[str, Sequence[Row]], pictures: Sequence[str]) -> str:
    """The card as Markdown. `pictures`: the names of the files with the histograms and the samples."""
    statistics = group["statistics"]
    counts = [{"what": "shards", "count": len(group["shards"])}]
    counts += [{"what": name.replace("_", " "), "count": statistics.get(name, 0)} for name in COUNTED]
    parts = [f"# Training set {group['group']}", _table(counts), f"Benchmark copies: {len(group['copies'])}."]
    parts += [f"Of {found.present} masks {found.kept} were kept ({_share(found.kept, found.present)})."]
    for title, rows in shown.items():
        parts += [f"## {title.capitalize()}", _table(rows) if rows else "None."]
    parts += ["## Histograms", f"![Histograms]({pictures[0]})", "## Samples", f"![Samples]({pictures[1]})"]
    return "\n\n".join(parts) + "\n"


def tables(found: Statistics) -> dict[str, list[dict[str, Any]]]:
    """What was left out and why, masks by level, queries by kind, texts and their words."""
    lost = [{"stage": stage, "reason": reason, "count": n} for (stage, reason), n in sorted(found.lost.items())]
    levels = [
        {"level": name, **row, "described": found.described[name]} for name, row in _shares(found.levels, "masks")
    ]
    kinds = [{"kind": name, **row} for name, row in _shares(found.kinds, "queries")]
    texts = [{"what": name, **texts.row()} for name, texts in found.texts.items()]
    words = [
        {"what": name, "most frequent words": ", ".join(f"{word} {n}" for word, n in _sorted(texts.words)[:FREQUENT])}
        for name, texts in found.texts.items()
    ]
    return {"left out": lost, "masks by level": levels, "queries by kind": kinds, "texts": texts, "words": words}


def histograms(found: Statistics) -> bytes:
    """PNG bytes of a picture with a panel for each of BINS; empty bins at the ends are not shown."""
    figure = Figure(figsize=(11, 4.6), dpi=100)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.93, bottom=0.07, hspace=0.35, wspace=0.25)
    for axes, (name, edges) in zip(figure.subplots(2, len(BINS) // 2).flat, BINS.items(), strict=True):
        counts = found.histograms[name]
        axes.stairs(counts, edges, fill=True, color=COLOURS[-1])
        if name in LOGARITHMIC:
            axes.set_xscale("log")
        if name in LOPSIDED:
            axes.set_yscale("log")
        if name in LOGARITHMIC or name in LOPSIDED:
            axes.minorticks_off()  # over less than a decade their labels would lie on one another
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        if filled := np.flatnonzero(counts).tolist():
            axes.set_xlim(edges[max(filled[0] - 1, 0)], edges[min(filled[-1] + 2, len(edges) - 1)])
        axes.set_title(name, fontsize=9, color=INK)
        axes.tick_params(labelsize=7, colors=INK)
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    # Without the software, whose version would be in the bytes.
    figure.savefig(file, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def samples(labels: Path, tar: Path) -> bytes:
    """PNG bytes of a sheet with a few images of a shard, evenly spread: masks, phrases, and the heat of two queries."""
    if not len(table := pq.read_table(labels)):
        return _png(Image.new("P", (1, 1)))
    rows = table.take(np.unique(np.linspace(0, len(table) - 1, SHOWN).astype(int))).to_pylist()
    sheet = Image.open(io.BytesIO(sample_sheet(rows, tar)))
    # A palette makes it a quarter of the size: Dagster's page shows small pictures only.
    return _png(sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    """Most frequent first, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _shares(counts: Counter[str], unit: str) -> list[tuple[str, dict[str, Any]]]:
    """Each name with its count and its share of all."""
    return [(name, {unit: n, "share": _share(n, counts.total())}) for name, n in _sorted(counts)]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def _table(rows: Sequence[Row]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
