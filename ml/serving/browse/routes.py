"""The page /browse and what it asks; where there is nothing to browse, one line that says why."""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from ml.errors import UserError
from ml.serving import refusals
from ml.serving.gate import BROWSE, VIEWER, Message, Receive, Send
from ml.workspace import Workspace

API = f"{BROWSE}/api"
FILES = Path(__file__).parents[1] / "viewer"


def add(app: FastAPI, ws: Workspace | None, asks: bool) -> None:
    """Give an app the page, its files, and what it asks about a workspace; None: there is none.

    Args:
        asks: whether the app has the released model, too.
    """
    trouble = _trouble(ws)

    def here() -> dict[str, object]:
        return {"asks": asks, "trouble": trouble}

    def refuse(rest: str) -> None:
        raise UserError(trouble)

    app.add_api_route(BROWSE, _page, include_in_schema=False)
    app.mount(VIEWER, StaticFiles(directory=FILES))
    app.add_api_route(API, here, include_in_schema=False)
    if ws is None or trouble:
        app.add_api_route(f"{API}/{{rest:path}}", refuse, include_in_schema=False)
    else:
        app.mount(API, Late(ws))


class Late:
    """What the page asks, loaded when it asks first: readers of Parquet and masks are heavy for who never looks."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.app(scope, receive, send)

    @cached_property
    def app(self) -> FastAPI:
        """An app of the routes alone."""
        from ml.serving.browse.api import router

        found = FastAPI(openapi_url=None)
        found.include_router(router(self.ws))
        refusals.tell(found)
        return found


def _page() -> FileResponse:
    return FileResponse(FILES / "browse.html")


def _trouble(ws: Workspace | None) -> str:
    """Why there is nothing to browse; "" where there is."""
    if ws is None:
        return "nothing to browse: a package is served alone; start arrcoc serve in a workspace, without --package"
    if find_spec("pyarrow") is None:
        return "nothing to browse: pyarrow is missing here; serve from the environment of the line (make env)"
    return ""
