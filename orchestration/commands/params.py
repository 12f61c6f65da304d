"""`arrcoc params`: presets, printed or made the workspace's params."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.terminal.options import workspace


def params(
    preset: Annotated[str | None, typer.Option(help="Print a preset: toytown, smoke or sa1b.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the preset into params.yaml.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether params.yaml is valid.")] = False,
) -> None:
    """Print or check params.yaml, or start again from a preset."""
    from orchestration.commands.params import preset_text, write_preset

    if preset is None:
        ws, _ = workspace()
        print(f"{ws.params_file}: valid" if check else ws.params_file.read_text(encoding="utf-8").rstrip())
    elif write:
        print(f"wrote {write_preset(preset)}")
    else:
        print(preset_text(preset).rstrip())


def preset_text(name: str) -> str:
    """A preset's file with its comments.

    Raises:
        UserError: there is no such preset.
    """
    from ml.workspace.settings import PRESETS, preset

    preset(name)
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def write_preset(name: str) -> Path:
    """Make a preset the workspace's params.

    Raises:
        UserError: there is no such preset, or no workspace here.
    """
    from ml.workspace import Workspace
    from ml.workspace.atomic import atomic_path

    text, path = preset_text(name), Workspace.find().params_file
    with atomic_path(path) as tmp:
        tmp.write_text(text, encoding="utf-8")
    return path
