"""Endpoints as data: one table says path, credentials, bodies and errors; the server and the OpenAPI document read it.

A handler gets a `Context` with the verified principal and the validated body, and returns a pydantic model (or a
`StreamResponse` of its own). Parsing, status codes and rendering happen here, once.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, overload

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from shared import scopes, tokens
from shared.envelope import json_response
from shared.errors import (
    ApiError,
    BodyTooLargeError,
    FieldError,
    InvalidRequestError,
    MalformedJsonError,
    TokenRequiredError,
    UnauthorizedError,
    UnprocessableError,
    UnsupportedMediaTypeError,
)
from shared.forms import received
from shared.idempotency import IDEMPOTENCY
from shared.scopes import Scope
from shared.tokens import InternalTokens, Principal

BodyT = TypeVar("BodyT")
ModelT = TypeVar("ModelT", bound=BaseModel)
Auth = Literal["none", "any", "token", "internal"]
Answer = BaseModel | Sequence[BaseModel] | web.StreamResponse | None
InvalidFactory = Callable[[Sequence[FieldError]], ApiError]

INTERNAL_TOKENS = web.AppKey("internal_tokens", InternalTokens)
MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_ERRORS = 100
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Context(Generic[BodyT]):
    """One request, verified and parsed."""

    request: web.Request
    body: BodyT
    optional_principal: Principal | None

    @property
    def principal(self) -> Principal:
        """Who asks. Endpoints with auth other than `none` always have one."""
        if self.optional_principal is None:
            raise UnauthorizedError
        return self.optional_principal

    @property
    def tenant(self) -> str:
        return self.principal.tenant

    def path(self, name: str) -> str:
        """A `{name}` of the path; a NUL, which Postgres can't store and nothing is called by, comes as U+FFFD."""
        return self.request.match_info[name].replace("\x00", "\ufffd")

    def query(self, model: type[ModelT], invalid: "InvalidFactory | None" = None) -> ModelT:
        """The query string as `model`; a parameter that repeats becomes a list where the model has one."""
        given = self.request.query
        many = {name for name, info in model.model_fields.items() if "list" in str(info.annotation)}
        invalid = invalid or invalid_request
        if name := next((name for name, value in given.items() if "\x00" in value), None):
            raise invalid([FieldError(name, "invalid_character", "The character U+0000 is not allowed.")])
        values = {name: given.getall(name) if name in many else given[name] for name in given}
        return validate(model, values, invalid, whole="query")


HandlerOf = Callable[[Context[BodyT]], Awaitable[Answer]]
Handler = HandlerOf[Any]
Afterwards = Callable[[Context[Any], web.StreamResponse], Awaitable[None]]


def invalid_request(errors: Sequence[FieldError]) -> ApiError:
    """The default error for a malformed body; its message names the first fields."""
    return InvalidRequestError(summarize(errors), errors=errors)


def unprocessable(errors: Sequence[FieldError]) -> ApiError:
    """The same with status 422, as the endpoints beyond the reference answer."""
    return UnprocessableError(summarize(errors), errors=errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row of the table.

    `auth`: `none` (public), `any` (token or API key), `token` (access token only), `internal` (our own processes).
    `is_list`: the answer is a bare array of `answer`. `content_type`: of an answer (or another
    form of it) that is no JSON.
    `invalid` makes the error for a malformed body. `scope`: what an `any` endpoint's credentials must be allowed to do.
    `idempotent`: takes an Idempotency-Key, see `shared.idempotency`. `is_form`: the body comes as multipart/form-data,
    files included, see `shared.forms`. `by_stream_token`: the gateway takes a stream token in the query as well.
    `afterwards` brings the answer up to date outside the transaction of an `idempotent` endpoint, a repeated one too.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    auth: Auth = "any"
    scope: Scope | None = None
    body: type[BaseModel] | None = None
    is_form: bool = False
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    is_list: bool = False
    status: int = 200
    errors: Sequence[type[ApiError]] = ()
    invalid: InvalidFactory = invalid_request
    max_body_bytes: int = MAX_BODY_BYTES
    content_type: str = "application/json"
    idempotent: bool = False
    by_stream_token: bool = False
    afterwards: Afterwards | None = None

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or self.handler.__name__).strip().splitlines()[0]


@dataclass(slots=True)
class Router:
    """Collects the endpoints of one module under one tag of the documentation."""

    tag: str
    endpoints: list[Endpoint] = field(default_factory=list)

    @overload
    def add(
        self, method: str, path: str, *, body: type[ModelT], **options: Any
    ) -> Callable[[HandlerOf[ModelT]], HandlerOf[ModelT]]: ...

    @overload
    def add(
        self, method: str, path: str, *, body: None = None, **options: Any
    ) -> Callable[[HandlerOf[None]], HandlerOf[None]]: ...

    def add(self, method: str, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare an endpoint; the options are those of `Endpoint`."""

        def decorate(handler: Handler) -> Handler:
            self.endpoints.append(Endpoint(method=method, path=path, handler=handler, tag=self.tag, **options))
            return handler

        return decorate


def summarize(errors: Sequence[FieldError]) -> str:
    """`field: what is wrong; …` for at most three fields."""
    return "; ".join(f"{error.field}: {error.message.rstrip('.')}" for error in errors[:3]) + "."


def field_errors(error: ValidationError, whole: str = "body") -> list[FieldError]:
    """What pydantic found, in our words; one error for all where nobody would read them."""
    if error.error_count() > MAX_ERRORS:
        return [FieldError(whole, "too_many_errors", f"{error.error_count()} fields are wrong.")]
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [field_error(item, whole) for item in found]


def field_error(item: Mapping[str, Any], whole: str = "body") -> FieldError:
    """One of the things that pydantic found, in our words; what is wrong with several fields is wrong with `whole`."""
    is_missing = item["type"] == "missing"
    message = "This field is required." if is_missing else item["msg"].removeprefix("Value error, ")
    return FieldError(".".join(str(part) for part in item["loc"]) or whole, item["type"], message)


def validate(
    model: type[ModelT], values: Any, invalid: InvalidFactory = invalid_request, *, whole: str = "body"
) -> ModelT:
    """`values` as `model`, else the error that `invalid` makes."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(field_errors(error, whole)) from error


async def read_json(request: web.Request, max_bytes: int) -> Any:
    """The JSON object of the body; an empty body is an empty object, so that missing fields are named.

    Raises:
        UnsupportedMediaTypeError: another content type.
        BodyTooLargeError: more than `max_bytes`.
        MalformedJsonError: not JSON, not an object, too deep, or with a NUL character, which Postgres can't store.
    """
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > max_bytes:
            raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    if not raw:
        return {}
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError
    return parse_object(bytes(raw))


def parse_object(raw: bytes) -> dict[str, Any]:
    """One JSON object."""
    try:
        values = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedJsonError(f"The body is not valid JSON: {error.msg} (line {error.lineno}).") from error
    if not isinstance(values, dict):
        raise MalformedJsonError("The body must be a JSON object.")
    if _NUL.search(raw):
        raise MalformedJsonError("The body contains the character U+0000, which is not allowed.")
    if _is_deeper_than(MAX_DEPTH, values):
        raise MalformedJsonError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    return values


def _is_deeper_than(levels: int, values: dict[str, Any] | list[Any]) -> bool:
    """Without recursion, which is what it protects from."""
    level = [values]
    for _ in range(levels):
        members = (member for one in level for member in (one.values() if isinstance(one, dict) else one))
        level = [member for member in members if isinstance(member, dict | list)]
        if not level:
            return False
    return True


def authorize(request: web.Request, auth: Auth, scope: Scope | None = None) -> Principal | None:
    """The principal of the internal token, checked against what the endpoint asks for."""
    principal = request.app[INTERNAL_TOKENS].verify(request.headers.get(tokens.HEADER))
    if auth == "none":
        return principal
    if principal is None:
        raise UnauthorizedError
    if auth == "token" and principal.credential != "token":
        raise TokenRequiredError
    if auth == "internal" and principal.credential != "service":
        raise UnauthorizedError
    if scope is not None:
        scopes.require(scope, principal.scopes)
    return principal


def _render(answer: Answer, status: int) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if answer is None:
        return web.Response(status=204)
    if isinstance(answer, BaseModel):
        return json_response(answer, status=status)
    return json_response([item.model_dump(mode="json", by_alias=True) for item in answer], status=status)


def _canonical(values: Any) -> str:
    """Files by their digest."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
    return orjson.dumps(values, option=options, default=lambda file: file.digest).decode()


def _serve(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        principal = authorize(request, endpoint.auth, endpoint.scope)
        if endpoint.body is None:
            return await answer(request, principal, None)
        if endpoint.is_form:
            async with received(request, endpoint.max_body_bytes) as fields:
                return await answer(request, principal, fields)
        return await answer(request, principal, await read_json(request, endpoint.max_body_bytes))

    async def answer(request: web.Request, principal: Principal | None, values: Any) -> web.StreamResponse:
        body = validate(endpoint.body, values, endpoint.invalid) if endpoint.body else None
        context = Context(request, body, principal)

        async def work() -> web.StreamResponse:
            return _render(await endpoint.handler(context), endpoint.status)

        if endpoint.idempotent:
            tenant = principal.tenant if principal else None
            response = await request.app[IDEMPOTENCY].once(request, tenant, _canonical(values), work)
        else:
            response = await work()
        if endpoint.afterwards and response.status == endpoint.status:
            await endpoint.afterwards(context, response)
        return response

    return serve


def add_endpoints(app: web.Application, routers: Sequence[Router]) -> list[Endpoint]:
    """Serve the endpoints of all routers; the internal tokens must be in the app."""
    endpoints = [endpoint for router in routers for endpoint in router.endpoints]
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, _serve(endpoint))
    return endpoints
