"""Where things lie: a checkout with `params.yaml` and `dvc.yaml`, and its `data/` and `mlflow/` folders."""

import re
from dataclasses import dataclass
from pathlib import Path

from ml.errors import UserError

# Characters of a path that DVC (@ { } \ and line breaks), MLflow and SQLAlchemy (% ? #) take for something else.
TAKEN = re.compile(r"[@%?#{}\\\x00-\x1f\x7f]")
DIRECTORIES = {"sa1b_shards": "shards"}  # stages whose folder under data/ has another name


@dataclass(frozen=True)
class Workspace:
    """The root of a checkout and the paths below it."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The nearest folder at or above `start` (default: the current one) that holds `params.yaml`.

        Raises:
            UserError: there is none, or DVC and MLflow can't work where it lies.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
                return cls(_usable(folder))
        raise UserError(f"{here}: no params.yaml and dvc.yaml here or above; run arrcoc inside a checkout")

    @property
    def params_file(self) -> Path:
        """The checkout's `params.yaml`."""
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The folder that holds the stages' outputs."""
        return self.root / "data"

    @property
    def resume(self) -> Path:
        """DeepSpeed checkpoints of training stages that have not finished; never tracked."""
        return self.data / ".resume"

    @property
    def answers(self) -> Path:
        """What an endpoint has answered about masks, a file a shard; never tracked, and never paid for again."""
        return self.data / ".captions"

    def stage(self, name: str) -> Path:
        """The output folder of a stage, the one `dvc.yaml` names."""
        return self.data / DIRECTORIES.get(name, name)

    def shard_file(self, stage: str, shard: str, suffix: str) -> Path:
        """One shard's output, for example `shard_file("mask_index", "sa_000000", ".parquet")`."""
        return self.stage(stage) / f"{shard}{suffix}"


def _usable(root: Path) -> Path:
    """The root itself, if DVC and MLflow can work there: told before the first stage, not after it.

    Raises:
        UserError: they can't.
    """
    if taken := TAKEN.search(str(root)):
        found = str(root).encode("unicode_escape").decode()
        raise UserError(
            f"{found}: DVC and MLflow can't work below a path with {taken.group()!r}; "
            "move the checkout to a path without it"
        )
    data = root / "data"
    if data.is_symlink() and not data.resolve().is_relative_to(root):
        raise UserError(
            f"{data}: a link to {data.resolve()}, where DVC keeps nothing; make it a folder whose stages are links "
            "(data/shards -> ...), or move the checkout there"
        )
    return root
