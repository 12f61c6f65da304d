"""What a run is called: its stage, and the knobs that moved since the stage's run before."""

from collections.abc import Iterable, Mapping

SHOWN = 2  # knobs that a name holds
WIDTH = 24  # characters of a value
UNSET = "unset"


def run_name(stage: str, before: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """For example `benchmark_scores, vqa 0.5 to 0.6`; the stage alone where no knob moved, or there is no run before.

    Args:
        before, now: the params of both runs, as `provenance.knobs` gives them.
    """
    return ", ".join([stage, *moves(before, now)]) if before else stage


def moves(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The knobs that moved, in the order of the line: ["vqa 0.5 to 0.6", ..., "3 more"]."""
    keys = [*now, *(key for key in before if key not in now)]
    moved = [key for key in keys if before.get(key) != now.get(key)]
    words = [
        f"{_short(key, {**before, **now})} {_cut(before.get(key))} to {_cut(now.get(key))}" for key in moved[:SHOWN]
    ]
    return words if len(moved) <= SHOWN else [*words, f"{len(moved) - SHOWN} more"]


def differing(runs: Iterable[Mapping[str, str]]) -> list[str]:
    """The knobs in which any two runs differ, in the order in which they come."""
    known = list(runs)
    keys = dict.fromkeys(key for params in known for key in params)
    return [key for key in keys if len({params.get(key) for params in known}) > 1]


def _short(key: str, values: Mapping[str, str]) -> str:
    """The shortest end of a dotted key that no other one of its kind has: `vqa` is one weight, and one folder."""
    alike = [other for other in values if other != key and _is_number(values[other]) == _is_number(values[key])]
    parts = key.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
    return next((end for end in ends if not any(f".{other}".endswith(f".{end}") for other in alike)), key)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cut(value: str | None) -> str:
    text = UNSET if value is None else value
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
