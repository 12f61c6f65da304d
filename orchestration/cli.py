"""`arrcoc ...`: every command, in the order of `--help`; each lies in a file of its own under `commands`.

A command imports what it needs late, so that `--help` is there at once.
"""

import gc
import json
import os
import sys
import threading

import typer

from ml.compute.memory import SELDOM
from ml.errors import NO_SPACE, UserError, disk_is_full
from orchestration.commands.ablate import ablate
from orchestration.commands.bench import bench
from orchestration.commands.compare import compare
from orchestration.commands.doctor import doctor
from orchestration.commands.export import export
from orchestration.commands.golden import golden
from orchestration.commands.params import params
from orchestration.commands.predict import predict
from orchestration.commands.pretrain_backbones import pretrain_backbones
from orchestration.commands.report import report
from orchestration.commands.run import run
from orchestration.commands.scale import scale
from orchestration.commands.score import score
from orchestration.commands.serve import serve
from orchestration.commands.stage import stage
from orchestration.commands.status import status
from orchestration.commands.sync import sync
from orchestration.commands.trace import trace
from orchestration.commands.tune import tune
from orchestration.commands.ui import ui

COMMANDS = (
    *(
        run,
        status,
        stage,
        report,
        trace,
        compare,
        ui,
        score,
        bench,
        scale,
        ablate,
        golden,
        tune,
        params,
        pretrain_backbones,
    ),
    export,
    predict,
    serve,
    sync,
    doctor,
)

# Nothing leaves the machine unless asked to; each is read when its library is imported.
OFFLINE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DVC_NO_ANALYTICS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}

app = typer.Typer(
    help="ARR-COC: SA-1B shards in, a released text-conditioned spatial-relevance model out.\n\n"
    "Start with `arrcoc run`: it runs every stage whose code, params or input changed, and shows the scores. "
    "The knobs are in params.yaml, the stages in dvc.yaml.",
    epilog="Exit codes: 0 done, 1 a gate or milestone failed, 2 the input or the environment is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half the time of --help
)
for _command in COMMANDS:
    app.command()(_command)


def main() -> None:
    """Run a command; what the user can act on is one line and exit code 2, never a stack trace."""
    os.environ.update({name: value for name, value in OFFLINE.items() if name not in os.environ})
    threading.excepthook = _in_thread
    gc.set_threshold(*SELDOM)
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except Exception as error:
        if not disk_is_full(str(error)):
            raise
        _fail(NO_SPACE)
    finally:
        gc.freeze()  # all of it is given back at the end; to look through it first would take half a second


def _in_thread(met: threading.ExceptHookArgs) -> None:
    """A full disk or a store that is away, under a thread of Dagster's, is what the main thread meets and tells."""
    if not disk_is_full(str(met.exc_value)) and not isinstance(met.exc_value, UserError):
        threading.__excepthook__(met)


def _fail(message: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": message}))
    print(f"arrcoc: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
