"""`arrcoc pretrain-backbones`: the recipe of toytown's SAM and CoCa."""

from pathlib import Path
from typing import Annotated

import typer


def pretrain_backbones(
    out: Annotated[Path, typer.Option(help="Folder for the weights; what it holds is replaced.")] = Path(
        "ml/toytown/weights"
    ),
    seed: Annotated[int, typer.Option(help="Of the scenes and of the weights.")] = 0,
    scenes: Annotated[int, typer.Option(help="How many are drawn; no split used later has them.")] = 2400,
    sam_steps: Annotated[int, typer.Option(help="Steps of SAM, half a second each.")] = 7000,
    coca_steps: Annotated[int, typer.Option(help="Steps of CoCa, half a second each.")] = 1200,
) -> None:
    """Pretrain toytown's tiny SAM and CoCa again, from scratch on two cores (an hour), and measure them."""
    from ml.toytown.pretraining.pretrain import pretrain

    pretrain(out, seed, scenes, sam_steps, coca_steps)
