"""Every check in the order of the table; those that a run makes before its first stage."""

from pathlib import Path

from ml.errors import UserError
from ml.workspace import Workspace
from orchestration.checkup import machine, places, traces
from orchestration.checkup.finding import Check, Finding

BACK = "git checkout ROOT/"
PRESET = "arrcoc params --preset toytown --write"
PORTS = "stop what listens there, or arrcoc ui --dagster-port N --mlflow-port N --browse-port N"
CHECKS = (
    Check("python", machine.python, "3.11", "make env"),
    Check("packages", machine.packages, "the versions of requirements.lock", "make env"),
    Check("git", places.git, "a commit", "git init, git commit; or git config --global --add safe.directory ROOT"),
    Check("params.yaml", places.params, "allowed values", f"{BACK}params.yaml, or {PRESET}"),
    Check("registry", places.registry, "a name and an alias that MLflow takes", "correct release in params.yaml"),
    Check("dvc.yaml", places.declaration, "every stage declared, with code that is there", f"{BACK}dvc.yaml"),
    Check("code", places.code, "that of this checkout", "rm -rf ROOT/.venv, then make env", first=True),
    Check("dvc.lock", places.lock_file, "readable, or none", "git checkout --ours dvc.lock, or rm dvc.lock; then run"),
    Check("cache", places.cache, "what lies in data/ and all that dvc.lock names", "arrcoc run, or dvc pull"),
    Check("dagster", places.dagster, "its configuration, and the store that this names", ""),
    Check("tracking", places.tracking, "a store that answers, its experiment alive", "", first=True),
    Check("benchmarks", places.benchmarks, "their folders, complete", "correct benchmarks in params.yaml", first=True),
    Check("devices", machine.devices, "a GPU a process, and one for real models", ""),
    Check("processes", machine.processes, "a place for each", "", first=True),
    Check("deepspeed", machine.deepspeed, "importable, with collectives", "make env"),
    Check("disk", machine.disk, "room for what the params will write", "make room, or lower shards.count", first=True),
    Check("memory", machine.memory, "room for the processes", "lower shards.workers, or close programs", first=True),
    Check("clock", machine.clock, "no time behind that of files", "timedatectl set-ntp true", first=True),
    Check("ports", traces.ports, "3000, 5000 and 8001 free", PORTS),
    Check("run lock", traces.run_lock, "free", "wait for that run to end"),
    Check("locks", traces.locks, "none of dead processes", "arrcoc run, which removes DVC's; or remove the file"),
    Check("leftovers", traces.leftovers, "none", "arrcoc run, which removes them"),
)


def checkup(start: Path) -> list[Finding]:
    """Every check of the workspace at or above a folder; where there is none, that alone."""
    place = Check("workspace", lambda ws: str(Workspace.find(ws.root).root), "a checkout", "cd into a checkout")
    first = place.finding(Workspace(start))
    return [first, *(check.finding(Workspace(Path(first.found))) for check in CHECKS if first.state == "ok")]


def before_run(ws: Workspace, whole: bool) -> list[Finding]:
    """What a run that is about to begin should know; `whole`: of all stages, so that what is wrong will be met.

    Raises:
        UserError: with a line for each thing that is wrong, of a run of all stages.
    """
    found = [finding for check in CHECKS if check.first and (finding := check.finding(ws)).state != "ok"]
    wrong = [finding.line() for finding in found if finding.state == "wrong"]
    if whole and wrong:
        raise UserError("\n".join(wrong))
    return found
