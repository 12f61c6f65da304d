"""Why a stage is stale, in words: which param from what to what, which file of code, which upstream data."""

from collections.abc import Mapping
from typing import Any

from ml.workspace.lineage import Made
from ml.workspace.stages import Stage


def explain(stage: Stage, made: Made, now: Made) -> list[str]:
    """What differs between what a stage was made from and what it would be made from now."""
    named = [path for path in now["deps"] if path not in (*stage.code, *stage.data)]
    lost = [path for path in (*named, *stage.data) if now["deps"][path] is None]
    if now["out"] is None:
        lost.append(stage.out)
    if lost or not made:
        return [f"{path} is missing" for path in lost] or ["nothing tells what it was made from"]
    before, after = _flatten(made["params"]), _flatten(now["params"])
    reasons = [f"param {key}: {_shown(before, key)} -> {_shown(after, key)}" for key in _differing(before, after)]
    reasons += _code(stage, made, now)
    reasons += [f"{path} changed" for path in named if made["deps"].get(path, now["deps"][path]) != now["deps"][path]]
    makers = dict(zip(stage.data, stage.upstream, strict=True))
    reasons += [
        f"upstream {name} changed" for path, name in makers.items() if made["deps"].get(path) != now["deps"][path]
    ]
    if made["out"] != now["out"]:
        reasons.append(f"{stage.out} is not as it was made")
    return reasons


def _code(stage: Stage, made: Made, now: Made) -> list[str]:
    if "files" in made:
        before, after = made["files"], now["files"]
    else:  # dvc.lock knows folders as a whole
        before, after = ({path: known["deps"].get(path) for path in stage.code} for known in (made, now))
    return [f"code {file} {_change(before, after, file)}" for file in _differing(before, after)]


def _change(before: Mapping[str, str], after: Mapping[str, str], file: str) -> str:
    if file not in before:
        return "is new"
    return "changed" if file in after else "is gone"


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    absent = object()
    return sorted(key for key in {*before, *after} if before.get(key, absent) != after.get(key, absent))


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "(not read)"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
