"""The pages of a workspace without a model, as `arrcoc ui` serves them: there is much to see before one is released.

Started as `python -m ml.serving.browse.alone HOST PORT` in the workspace.
"""

import os
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from ml.serving import refusals
from ml.serving.browse import routes
from ml.serving.gate import BROWSE, Door, Gate
from ml.serving.limits import KEY, Limits
from ml.workspace import Workspace


def app(ws: Workspace) -> FastAPI:
    """The pages, behind the same gate as everything else."""
    found = FastAPI(openapi_url=None)
    routes.add(found, ws, asks=False)
    refusals.tell(found)
    found.add_api_route("/", lambda: RedirectResponse(BROWSE))
    found.add_middleware(Gate, door=Door(Limits(), os.environ.get(KEY)))
    return found


if __name__ == "__main__":
    uvicorn.run(app(Workspace.find()), host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
