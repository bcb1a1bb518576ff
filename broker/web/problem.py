"""What goes wrong, said as RFC 9457: `application/problem+json` with type, title, status, detail, and our `code`.

422 BadInput, and a request that does not fit its model: `errors` names each field
401 NotAuthenticated   403 Forbidden   404 NotFound   409 Conflict
429 TooMany and 503 StoreError with Retry-After
500 anything else: an `id` that the log has too, and nothing of the inside
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from broker import metrics
from broker.complaints import complaints
from broker.errors import (
    BadInput,
    Conflict,
    Forbidden,
    NotAuthenticated,
    NotFound,
    OmnilineError,
    StoreError,
    StoreFull,
    StoreMoving,
    TooMany,
)
from broker.web.asgi import App, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
STORE_RETRY_SECONDS = 5
_NO_CHALLENGE = 'Cookie realm="omniline"'  # a 401 must name a scheme; one that no browser asks a password for


class FieldProblem(BaseModel):
    """What is wrong with one field; *field* is a dotted path, empty for the whole."""

    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="The reason as a word, for programs.")]
    errors: list[FieldProblem] | None = None
    id: Annotated[str | None, Field(description="Of an unexpected error: what to tell the administrator; the log has it.")] = None
    retry_after: Annotated[float | None, Field(description="Seconds.")] = None


class ProblemResponse(JSONResponse):
    """A problem on its way out."""

    media_type = MEDIA_TYPE


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in (("4XX", "The request cannot be served as it is."), ("5XX", "The server cannot serve it now."))
}
"""For OpenAPI: every route may answer so. `add_schema` puts the component in."""


def respond(
    status: int,
    detail: str,
    code: str,
    *,
    errors: Sequence[FieldProblem] | None = None,
    retry_after: float | None = None,
    id_: str | None = None,
) -> Response:
    """Return the response that says this problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=list(errors) if errors else None,
        id=id_,
        retry_after=retry_after,
    )
    headers = {"Cache-Control": "no-store"}
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _NO_CHALLENGE
    return ProblemResponse(problem.model_dump(exclude_none=True), status_code=status, headers=headers)


def of_error(error: OmnilineError) -> Response | None:
    """Return how one of our errors is said; None for one that a request cannot cause."""
    text = str(error)
    match error:
        case BadInput():
            fields = [FieldProblem(field=error.field, detail=text)] if error.field else None
            return respond(422, text, error.code, errors=fields)
        case NotAuthenticated():
            return respond(401, text, "not_authenticated")
        case Forbidden():
            return respond(403, text, "forbidden")
        case NotFound():
            return respond(404, text, "not_found")
        case Conflict():
            return respond(409, text, error.code)
        case TooMany():
            return respond(429, text, error.code, retry_after=error.retry_after)
        case StoreFull():
            return respond(503, text, "full", retry_after=STORE_RETRY_SECONDS)
        case StoreMoving():
            return respond(503, text, "unavailable", retry_after=error.retry_after)
        case StoreError():
            return respond(503, "the store cannot answer just now", "unavailable", retry_after=STORE_RETRY_SECONDS)
        case _:
            return None


def install(app: FastAPI) -> None:
    """Let *app* say all its errors so."""
    app.add_exception_handler(OmnilineError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def add_schema(openapi: dict[str, Any]) -> None:
    """Put the component that `RESPONSES` refers to into an OpenAPI document."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components = openapi.setdefault("components", {}).setdefault("schemas", {})
    components.update(schema.pop("$defs", {}))
    components["Problem"] = schema


async def _ours(request: Request, error: Exception) -> Response:
    said = of_error(error) if isinstance(error, OmnilineError) else None
    if said is None:
        raise error
    return said


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    body_field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(body_field, "field_info", None), "annotation", None)
    # The first part of a place says where it stood: body, query, path.
    inside = [{**one, "loc": tuple(one["loc"][1:])} for one in found]
    errors = [FieldProblem(field=place, detail=wrong) for place, wrong in complaints(inside, model)]
    if any(one["type"] == "json_invalid" for one in found):
        errors = [FieldProblem(field="", detail="the body is not JSON")]
    detail = "; ".join(f"{one.field}: {one.detail}" if one.field else one.detail for one in errors)
    return respond(422, detail[:2_000], "bad_input", errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    phrase = HTTPStatus(error.status_code).phrase
    # Without words of its own the library says the phrase, which is the title already.
    detail = error.detail if error.detail != phrase else _DETAILS.get(error.status_code, phrase)
    said = respond(error.status_code, detail, _CODES.get(error.status_code) or _code(phrase))
    for name, value in (error.headers or {}).items():
        said.headers[name] = value
    return said


_CODES = {413: "too_large"}
_DETAILS = {404: "there is nothing at this address", 405: "this address does not know this method"}


def _code(phrase: str) -> str:
    return phrase.lower().replace(" ", "_").replace("-", "_").replace("'", "")


class Unexpected:
    """ASGI: the outermost loop of a request. What nobody foresaw is logged under an id, and only the id is told."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            id_ = str(uuid.uuid4())
            metrics.unexpected_errors_total.labels("web").inc()
            log.exception("request_failed", error_id=id_, path=scope.get("path"), method=scope.get("method"))
            if started:
                raise  # half an answer is out: only breaking the connection tells the client
            answer = respond(500, "something went wrong here; tell the administrator the id", "internal", id_=id_)
            await answer(scope, receive, send)
