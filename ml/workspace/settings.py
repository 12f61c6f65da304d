"""`params.yaml` and the presets, read and validated before anything runs."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

import ml
from ml.errors import UserError
from ml.params import Params

PRESETS = Path(ml.__file__).parent / "presets"


def load(path: Path) -> Params:
    """Read and validate a params file.

    Raises:
        UserError: unreadable, not YAML, or a key or value that is not allowed; every such key is named.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    return validate(raw, str(path))


def preset(name: str) -> Params:
    """The params of a preset: toytown, smoke or sa1b."""
    known = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    if name not in known:
        raise UserError(f"preset {name!r} is unknown; choose from {', '.join(known)}")
    return load(PRESETS / f"{name}.yaml")


def validate(raw: Any, origin: str) -> Params:
    """Turn plain values into `Params`.

    Raises:
        UserError: with a line for each key that is unknown, missing or has an impossible value.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(_explain(origin, item) for item in error.errors())) from error


def _explain(origin: str, error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"]) or "(the whole file)"
    if error["type"] == "extra_forbidden":
        return f"{origin}: {path}: unknown key; allowed here: {', '.join(_allowed(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{origin}: {path}: missing; add it, or start again from a preset (arrcoc params --preset toytown)"
    return f"{origin}: {path}: found {error['input']!r}; {error['msg'][0].lower()}{error['msg'][1:]}"


def _allowed(loc: tuple[Any, ...]) -> list[str]:
    model: Any = Params
    for part in loc:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field else None
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
