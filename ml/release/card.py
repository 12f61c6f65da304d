"""The model card: what the model is, how it scores, what it was made from. The same inputs give the same bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml.evaluation.pages import tables
from ml.params import Params
from ml.workspace.lineage import Made
from ml.workspace.stages import Stage

Row = Mapping[str, Any]
VARIANT = ("variant", "acc@0.5", "size_mb")  # what is told of each, in this order

TRACE = "`arrcoc trace model` names the MLflow runs too, and walks on to the shards and the rejected masks."
LIMITS = (
    "Relevance was learned from a CLIP's similarities and a captioner's words, not from people's judgement,",
    "and inherits their mistakes. Queries with negation or counting were not trained.",
)


def card(
    params: Params,
    compression: Row,
    scores: Row,
    inputs: Mapping[str, str],
    line: Sequence[Row],
    drop: float,
    held: bool,
) -> str:
    """The card as Markdown.

    Args:
        inputs: the md5 of each file that the model was made from.
        line: the stages above, as `lineage_rows` gives them.
        drop, held: points lost by int8, and whether that is few enough.
    """
    sections: list[tuple[str, Sequence[str]]] = [
        (
            f"# {params.release.model_name}",
            [*about(params), "", gate(drop, params.release.max_drop, held)],
        ),
        (
            "## Variants",
            [
                *table([{name: row[name] for name in VARIANT if name in row} for row in compression["variants"]]),
                "",
                f"RefCOCO val, acc@0.5 in percent, {compression['questions']} questions. int8 is what is released.",
            ],
        ),
        ("## Scores (fp32, percent)", table(tables.summary(scores))),
        ("## Referring expressions (fp32, percent)", table(tables.referring(scores))),
        ("## Made from", table([{"file": file, "md5": md5} for file, md5 in inputs.items()])),
        ("## Lineage", [*table(line), "", TRACE]),
        ("## Limits", LIMITS),
    ]
    return "\n".join(line for title, text in sections for line in (title, "", *text, ""))


def about(params: Params) -> list[str]:
    """What the model is, in three lines."""
    return [
        "Text-conditioned spatial relevance: from an image and a query to a score for every mask, a grounding map",
        f"and a box. Frozen SAM ({params.backbones.sam.model_type}) and CLIP ({params.backbones.clip.model_name}),",
        f"trained on pseudo-labels of SA-1B-format shards from `{params.shards.source}`.",
    ]


def gate(drop: float, limit: float, held: bool) -> str:
    """What becomes of the model, and why."""
    how = "as good as" if drop == 0 else f"{abs(drop):.2f} points {'worse' if drop > 0 else 'better'} than"
    outcome = "released" if held else "not released"
    return f"int8 is {how} fp32; at most {limit:g} worse is allowed: {outcome}."


def lineage_rows(line: Mapping[str, Made], declared: Mapping[str, Stage]) -> list[dict[str, Any]]:
    """A row a stage: what it wrote, what it read, how many params it was made with.

    MLflow's run ids are left out: a stage run again with the same outcome leaves the card as it is.
    """
    return [
        {
            "stage": name,
            "md5": made["out"],
            "made from": ", ".join(declared[name].upstream),
            "params": len(made["params"]),
        }
        for name, made in line.items()
    ]


def table(rows: Sequence[Row]) -> list[str]:
    """Rows as lines of a Markdown table; columns in the order they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *lines]]


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
