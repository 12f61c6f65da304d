"""Whatever a server refuses, as one JSON line: {"error": "..."}."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ml.errors import UserError


def tell(app: FastAPI) -> None:
    """Have an app answer its refusals so."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UserError, _missing)


def _refused(_: Request, error: Exception) -> JSONResponse:
    """Any refusal as one line; what a worker could not finish, since it died, may be asked again."""
    assert isinstance(error, HTTPException)
    if error.status_code == 500:
        return JSONResponse({"error": "the worker did not finish; ask again"}, 503, {"Retry-After": "1"})
    return JSONResponse({"error": str(error.detail)}, error.status_code)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)


def _missing(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 404)
