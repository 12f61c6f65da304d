"""`params.yaml` and the presets, read and validated before anything runs."""

from pathlib import Path
from typing import Any

import ml
from ml.errors import UserError
from ml.params import Params
from ml.workspace import yamlfile

PRESETS = Path(ml.__file__).parent / "presets"
WAY_OUT = "mend it, or start again from a preset (arrcoc params --preset toytown --write)"


def load(path: Path) -> Params:
    """Read and validate a params file.

    Raises:
        UserError: unreadable, not YAML, or a key or value that is not allowed; every such key is named.
    """
    raw = yamlfile.read(path, WAY_OUT)
    if not raw:
        raise UserError(
            f"{path}: found no key in it; start again from a preset (arrcoc params --preset toytown --write)"
        )
    return validate(raw, str(path))


def preset(name: str) -> Params:
    """The params of a preset: toytown, smoke or sa1b."""
    known = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    if name not in known:
        raise UserError(f"preset {yamlfile.shown(name)} is unknown; choose from {', '.join(known)}")
    return load(PRESETS / f"{name}.yaml")


def validate(raw: Any, origin: str) -> Params:
    """Turn plain values into `Params`.

    Raises:
        UserError: with a line for each key that is unknown, missing or has an impossible value.
    """
    return yamlfile.typed(Params, raw, origin, "add it, or start again from a preset (arrcoc params --preset toytown)")
