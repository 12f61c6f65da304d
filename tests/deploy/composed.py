"""What `deploy/compose.yaml` says, as Compose would read it."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


def read(values: dict[str, str]) -> dict[str, Any]:
    """The file with these values for its variables; where one has no value, its default."""
    return dict(_filled(yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8")), values))


def variables() -> set[str]:
    """The variables that the file takes from `deploy/.env`."""
    return {name for name, _ in VARIABLE.findall((FOLDER / "compose.yaml").read_text(encoding="utf-8"))}


def _filled(part: Any, values: dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    if isinstance(part, str):
        return VARIABLE.sub(lambda found: values.get(found[1]) or found[2] or "", part).replace("$$", "$")
    return part
