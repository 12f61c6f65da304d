"""`dvc.yaml`, typed: what each stage runs, the code and the params it depends on, what it reads and writes.

The one declaration that DVC, Dagster and the shard keys share: none of them is told by hand what changed.
Code counts by its bytes, as it does for DVC: a comment makes a stage stale there, so it does here.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, yamlfile

WAY_OUT = "get it back with git checkout dvc.yaml"
NAMED = re.compile(r"\$\{([\w.]+)\}")  # a dep whose path is a param's value, in DVC's notation


def _path(out: Any) -> Any:
    """The path of an output, which DVC writes alone or as a table with one key."""
    return next(iter(out)) if isinstance(out, dict) and len(out) == 1 else out


class _Meta(BaseModel):
    """The part of an entry that is ours: see the head of `dvc.yaml`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    group: str = ""
    kinds: list[str] = []
    per: Literal["shard", "group"] | None = None
    listing: list[str] = []
    files: list[str] = []
    reads: dict[str, str] = {}
    gpu: bool = False


class _Entry(BaseModel):
    """A stage as `dvc.yaml` has it; what else DVC allows there is left to DVC."""

    model_config = ConfigDict(strict=True)

    cmd: str
    desc: str = ""
    deps: list[str] = []
    params: list[str] = []
    outs: Annotated[list[Annotated[str, BeforeValidator(_path)]], Field(min_length=1)]
    meta: _Meta = _Meta()


class _Line(BaseModel):
    """The whole of `dvc.yaml`."""

    model_config = ConfigDict(strict=True)

    stages: Annotated[dict[str, _Entry], Field(min_length=1)]


@dataclass(frozen=True)
class Stage:
    """One stage of `dvc.yaml`; paths are relative to the workspace."""

    name: str
    description: str
    cmd: str
    code: tuple[str, ...]  # files and folders
    data: tuple[str, ...]  # output folders of other stages
    params: tuple[str, ...]  # dotted keys of params.yaml
    out: str
    per: Literal["shard", "group"] | None
    listing: tuple[str, ...]  # those of the params that say which shards there are, not what is in them
    upstream: tuple[str, ...]
    group: str = ""  # of assets on Dagster's page, with `kinds` as their tags
    kinds: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # the suffixes of what one shard writes
    reads: Mapping[str, str] = field(default_factory=dict)  # the one file that a shard reads of a stage above
    gpu: bool = False  # a shard takes a GPU, where there is one
    named: tuple[str, ...] = ()  # dotted keys of params whose values are paths of files that it reads

    def named_files(self, ws: Workspace, params: Params) -> tuple[str, ...]:
        """The paths of files that it reads and that params name, as `dvc.lock` has them: absolute outside alone."""
        paths = [ws.root / str(_value(params, key)) for key in self.named]
        return tuple(str(path.relative_to(ws.root) if path.is_relative_to(ws.root) else path) for path in paths)

    def param_values(self, params: Params) -> dict[str, Any]:
        """The declared params with their values: {"seed": 0, "filter": {...}, ...}."""
        return {key: _value(params, key) for key in self.params}

    def shard_values(self, params: Params) -> dict[str, Any]:
        """The declared params that bear on what a shard holds: with one shard more, the others stay as they are."""
        return {key: value for key, value in self.param_values(params).items() if key not in self.listing}


def load(ws: Workspace) -> dict[str, Stage]:
    """All stages of the workspace, each after those that it reads from.

    Raises:
        UserError: `dvc.yaml` cannot be read, or an entry lacks what a stage needs.
    """
    path = ws.root / "dvc.yaml"
    return _parse(path, path.stat().st_mtime_ns if path.exists() else 0)


def stage(ws: Workspace, name: str) -> Stage:
    """One stage by its name.

    Raises:
        UserError: there is none of that name.
    """
    known = load(ws)
    if name not in known:
        raise UserError(f"stage {yamlfile.shown(name)} is unknown; choose from {', '.join(known)}")
    return known[name]


def above(stages: Mapping[str, Stage], names: Iterable[str]) -> list[str]:
    """The stages named and all that they depend on, in order."""
    wanted = set(names)
    for name in reversed(list(stages)):
        if name in wanted:
            wanted.update(stages[name].upstream)
    return [name for name in stages if name in wanted]


def below(stages: Mapping[str, Stage], names: Iterable[str]) -> list[str]:
    """The stages named and all that depend on them, in order."""
    wanted = set(names)
    for name in stages:
        if wanted & set(stages[name].upstream):
            wanted.add(name)
    return [name for name in stages if name in wanted]


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or the files of a folder that DVC would see."""
    if path.is_file():
        yield path
    else:
        yield from (Path(entry.path) for entry in entries_below(str(path)))


def entries_below(folder: str) -> Iterator[os.DirEntry[str]]:
    """The files of a folder that DVC would see: none hidden, no bytecode (see `.dvcignore`); none where nothing is."""
    try:
        with os.scandir(folder) as entries:  # which knows files from folders without asking for each
            visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__pycache__"]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in visible:
        yield from [entry] if entry.is_file() else entries_below(entry.path)


def _value(params: Params, key: str) -> Any:
    value: Any = params.model_dump(mode="json")
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"dvc.yaml: a stage declares the param {yamlfile.shown(key)}, which is none; {WAY_OUT}")
        value = value[part]
    return value


@lru_cache(maxsize=8)
def _parse(path: Path, _mtime_ns: int) -> dict[str, Stage]:
    raw = yamlfile.read(path, WAY_OUT)
    entries = yamlfile.typed(_Line, raw, str(path), WAY_OUT).stages
    maker = {entry.outs[0]: name for name, entry in entries.items()}
    stages = {name: _stage(name, entry, maker) for name, entry in entries.items()}
    order: dict[str, Stage] = {}
    while len(order) < len(stages):
        ready = [name for name, stage in stages.items() if name not in order and set(stage.upstream) <= set(order)]
        if not ready:
            raise UserError(f"{path}: stages read from one another in a circle: {', '.join(set(stages) - set(order))}")
        order[ready[0]] = stages[ready[0]]
    return order


def _stage(name: str, entry: _Entry, maker: dict[str, str]) -> Stage:
    meta = entry.meta
    return Stage(
        name=name,
        description=entry.desc,
        cmd=entry.cmd,
        code=tuple(path for path in entry.deps if path not in maker and not NAMED.fullmatch(path)),
        data=tuple(path for path in entry.deps if path in maker),
        params=tuple(entry.params),
        out=entry.outs[0],
        per=meta.per,
        listing=tuple(meta.listing),
        upstream=tuple(maker[path] for path in entry.deps if path in maker),
        group=meta.group,
        kinds=tuple(meta.kinds),
        files=tuple(meta.files),
        reads=meta.reads,
        gpu=meta.gpu,
        named=tuple(found[1] for path in entry.deps if (found := NAMED.fullmatch(path))),
    )
