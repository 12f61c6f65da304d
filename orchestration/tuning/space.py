"""What a study searches: dotted params, each with a range or choices, as a person writes them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, stages
from orchestration.runs.ablation import CHAIN

Space = dict[str, BaseDistribution]
FORM = "write KEY=LOW..HIGH, KEY=LOW..HIGH:log, or KEY=ONE,OTHER,..."
_RANGE = re.compile(r"^(?P<low>[^.,]+(?:\.\d[^.,]*)?)\.\.(?P<high>[^:,]+)(?P<log>:log)?$")


def parse(ws: Workspace, params: Params, specs: Sequence[str]) -> Space:
    """The space of specs like "relevance_learning.lr=1e-3..1e-2:log" and "model.frozen_similarity=true,false".

    Raises:
        UserError: a spec names no param of training or evaluation, or no range or choices of its kind.
    """
    values, space = params.model_dump(mode="json"), Space()
    for spec in specs:
        key, given, text = spec.partition("=")
        if not given or not text:
            raise UserError(f"{spec!r}: found no range; {FORM}")
        now = _value(values, key)
        _require_bearing(ws, params, key)
        space[key] = _distribution(key, now, text)
    return space


def changed(params: Params, values: Mapping[str, Any]) -> Params:
    """The params with other values of some; the runs of a trial stay out of the tracking server.

    Raises:
        UserError: they do not go together.
    """
    raw = params.model_dump(mode="json")
    raw["tracking"]["uri"] = None
    for key, value in values.items():
        *sections, name = key.split(".")
        place = raw
        for section in sections:
            place = place[section]
        place[name] = value
    try:
        return Params.model_validate(raw)
    except ValueError as error:
        told = "; ".join(f"{key}={value}" for key, value in values.items())
        raise UserError(f"{told}: {' '.join(str(error).split())}") from error


def current(params: Params, space: Space) -> dict[str, Any]:
    """The values that the workspace has of the params searched."""
    values = params.model_dump(mode="json")
    return {key: _value(values, key) for key in space}


def _value(values: Any, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            raise UserError(f"{key}: no such param; arrcoc params shows them all")
        values = values[name]
    if isinstance(values, dict | list):
        raise UserError(f"{key}: found a section, wanted one value in it; arrcoc params shows them all")
    return values


def _require_bearing(ws: Workspace, params: Params, key: str) -> None:
    """That a param changes training or evaluation, and no stage above, whose output all trials share."""
    line = stages.load(ws)
    reads = [name for name, stage in line.items() if any(_within(key, read) for read in stage.param_values(params))]
    if above := [name for name in reads if name not in stages.below(line, CHAIN)]:
        raise UserError(f"{key}: {above[0]} reads it, whose output all trials share; search what training stages read")
    if not set(reads) & set(CHAIN):
        raise UserError(f"{key}: found no stage of {', '.join(CHAIN)} that reads it, so no score would change")


def _within(key: str, read: str) -> bool:
    return key == read or key.startswith(f"{read}.")


def _distribution(key: str, now: Any, text: str) -> BaseDistribution:
    found = _RANGE.match(text)
    numeric = isinstance(now, int | float) and not isinstance(now, bool)
    try:
        if not found:
            return CategoricalDistribution([_like(now, choice) for choice in text.split(",")])
        if not numeric:
            raise ValueError(f"it is {now!r}, which has no range")
        low, high = (_like(now, found[end]) for end in ("low", "high"))
        make = IntDistribution if isinstance(now, int) else FloatDistribution
        return make(low, high, log=found["log"] is not None)
    except ValueError as error:
        raise UserError(f"{key}={text}: {str(error).rstrip('.')}; {FORM}") from error


def _like(now: Any, text: str) -> Any:
    """A text as a value of the type that the param has.

    Raises:
        ValueError: it is none.
    """
    if isinstance(now, bool):
        if text not in ("true", "false"):
            raise ValueError(f"found {text!r}, wanted true or false")
        return text == "true"
    if isinstance(now, int):
        return int(text)
    return float(text) if isinstance(now, float) else text
