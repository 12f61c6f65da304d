"""`arrcoc params`: presets, printed or made the workspace's params."""

from pathlib import Path

from ml.atomic import atomic_path
from ml.params import PRESETS, preset
from ml.workspace import Workspace


def preset_text(name: str) -> str:
    """A preset's file with its comments.

    Raises:
        UserError: there is no such preset.
    """
    preset(name)
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def write_preset(name: str) -> Path:
    """Make a preset the workspace's params.

    Raises:
        UserError: there is no such preset, or no workspace here.
    """
    text, path = preset_text(name), Workspace.find().params_file
    with atomic_path(path) as tmp:
        tmp.write_text(text, encoding="utf-8")
    return path
