"""The table of endpoints: parsing, credentials, rendering; run through aiohttp without a socket of its own."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Self

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.endpoints import (
    INTERNAL_TOKENS,
    Context,
    Router,
    authorize,
    field_errors,
    parse_object,
    validate,
)
from shared.envelope import error_body, error_response
from shared.errors import (
    ApiError,
    FieldError,
    InvalidRequestError,
    MalformedJsonError,
    NotFoundError,
    TokenRequiredError,
    UnauthorizedError,
    UnavailableError,
)
from shared.openapi import describe
from shared.tokens import CHALLENGE, HEADER, InternalTokenError, InternalTokenExpiredError, InternalTokens, Principal

SECRET = "s" * 32


class Body(BaseModel):
    """A body."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "x"}})

    name: str = Field(min_length=1)
    size: int = 1


class Many(BaseModel):
    """A body with a list."""

    sizes: list[int]


def request_with(principal: Principal | None, *, token: str | None = None) -> web.Request:
    app = web.Application()
    app[INTERNAL_TOKENS] = InternalTokens(SECRET, "gateway", lambda: datetime.now(UTC))
    signed = app[INTERNAL_TOKENS].sign(principal) if token is None else token
    return make_mocked_request("GET", "/", headers={HEADER: signed}, app=app)


def test_what_postgres_can_not_store_is_no_name_and_no_query() -> None:
    """It was an internal error of whatever query it came to."""
    asked = make_mocked_request("GET", "/?name=a%00b", match_info={"id": "a\x00b", "other": "a"})
    context = Context(asked, None, None)
    assert context.path("other") == "a"
    assert context.path("id") == "a\ufffdb"
    with pytest.raises(InvalidRequestError) as refused:
        context.query(Body)
    assert [error.field for error in refused.value.errors] == ["name"]


class Span(BaseModel):
    """A query of two parameters that depend on each other."""

    first: int
    last: int

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.first > self.last:
            raise ValueError("`first` must not be after `last`")
        return self


@pytest.mark.parametrize(("query", "field"), [("first=x&last=2", "first"), ("first=3&last=2", "query")])
def test_errors_of_a_query_are_not_those_of_a_body(query: str, field: str) -> None:
    context = Context(make_mocked_request("GET", f"/?{query}"), None, None)
    with pytest.raises(InvalidRequestError) as refused:
        context.query(Span)
    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": ["\\u0000"]}', "U+0000"),
        (b'{"\\u0000": 1}', "U+0000"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(raw: bytes, message: str) -> None:
    with pytest.raises(MalformedJsonError, match=message.replace("+", r"\+")):
        parse_object(raw)


@pytest.mark.parametrize("depth", [64, 500, 1000])
def test_a_body_that_is_too_deep_is_refused_before_anything_recurses_into_it(depth: int) -> None:
    raw = b'{"a":' + b"[" * depth + b'"\\\\u0000"' + b"]" * depth + b"}"
    with pytest.raises(MalformedJsonError, match="64 levels"):
        parse_object(raw)
    assert parse_object(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}")


def test_a_million_errors_are_one() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(Many, {"sizes": ["x"] * 101})
    assert [(error.field, error.code) for error in caught.value.errors] == [("body", "too_many_errors")]
    with pytest.raises(InvalidRequestError) as caught:
        validate(Many, {"sizes": ["x"] * 100})
    assert len(caught.value.errors) == 100


def test_an_escaped_backslash_before_u0000_is_harmless() -> None:
    assert parse_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail_otherwise(raw: bytes) -> None:
    with contextlib.suppress(MalformedJsonError):
        assert isinstance(parse_object(raw), dict)


def test_field_errors_name_the_field_and_the_rule() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(Body, {"size": "many"})
    assert [(error.field, error.code) for error in caught.value.errors] == [
        ("name", "missing"),
        ("size", "int_parsing"),
    ]
    assert caught.value.message.startswith("name: This field is required; size: ")


def test_field_errors_never_repeat_what_was_sent() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(Body, {"name": "x", "size": "secret-value"})
    assert "secret-value" not in orjson.dumps(error_body(caught.value, "r")).decode()


def test_errors_render_as_envelope_and_as_problem_details() -> None:
    error = InvalidRequestError("name: no", errors=[FieldError("name", "bad", "no")], loginStatus=0)
    plain = orjson.loads(error_response(error, "r1").body)
    assert plain == {
        "status": "error",
        "code": "invalid_request",
        "message": "name: no",
        "request_id": "r1",
        "loginStatus": 0,
        "errors": [{"field": "name", "code": "bad", "message": "no"}],
    }
    answer = error_response(error, "r1", "application/problem+json, */*")
    problem = orjson.loads(answer.body)
    assert answer.content_type == "application/problem+json"
    assert problem["status"] == 400
    assert problem["detail"] == "name: no"
    assert problem["type"] == "urn:talkstack:error:invalid_request"


def test_a_retryable_error_says_when() -> None:
    assert UnavailableError().headers["Retry-After"] == "2"
    assert UnavailableError().retryable
    assert not NotFoundError().retryable


def test_the_default_text_of_an_error_is_its_docstring() -> None:
    assert NotFoundError().message == "There is nothing at this path."


USER = Principal("u1", "token", "s1")
KEY = Principal("u1", "api_key", None, ("calls",))


def test_a_principal_survives_the_internal_token() -> None:
    assert authorize(request_with(KEY), "any") == KEY


def test_public_endpoints_take_an_anonymous_token_but_not_none() -> None:
    assert authorize(request_with(None), "none") is None
    with pytest.raises(InternalTokenError):
        authorize(request_with(None, token=""), "none")


@pytest.mark.parametrize(
    ("principal", "auth", "error"),
    [
        (None, "any", UnauthorizedError),
        (KEY, "token", TokenRequiredError),
        (USER, "internal", UnauthorizedError),
        (None, "internal", UnauthorizedError),
    ],
)
def test_credentials_that_do_not_suffice(principal: Principal | None, auth: str, error: type[ApiError]) -> None:
    with pytest.raises(error):
        authorize(request_with(principal), auth)  # type: ignore[arg-type]


def test_forged_internal_tokens_are_refused() -> None:
    other = InternalTokens("x" * 32, "gateway", lambda: datetime.now(UTC))
    verifier = InternalTokens(SECRET, "service", lambda: datetime.now(UTC))
    for token in (other.sign(USER), "a.b.c", None):
        with pytest.raises(InternalTokenError) as refused:
            verifier.verify(token)
        assert (refused.value.code, refused.value.status) == ("internal_token_invalid", 401)
        assert refused.value.headers["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize(("minutes", "is_refused"), [(-5, True), (5, False)])
def test_an_internal_token_by_a_clock_that_is_wrong(minutes: int, is_refused: bool) -> None:
    """One from behind is old when it is made, and the refusal says so; one from ahead is good for longer."""
    signer = InternalTokens(SECRET, "gateway", lambda: datetime.now(UTC) + timedelta(minutes=minutes))
    verifier = InternalTokens(SECRET, "service", lambda: datetime.now(UTC))
    if not is_refused:
        assert verifier.verify(signer.sign(USER)) == USER
        return
    with pytest.raises(InternalTokenExpiredError, match="clock") as refused:
        verifier.verify(signer.sign(USER))
    assert refused.value.headers["WWW-Authenticate"] == CHALLENGE


def _router() -> Router:
    router = Router("Things")

    @router.add("POST", "/thing/{thing_id}", body=Body, answer=Body, errors=[NotFoundError])
    async def make_thing(ctx: Context[Body]) -> Body:
        """Make a thing."""
        return ctx.body

    @router.add("GET", "/internal/thing", auth="internal", answer=Body)
    async def internal_thing(_ctx: Context[None]) -> None:
        """Not for customers."""

    return router


def test_the_document_shows_operations_errors_and_examples_but_nothing_internal() -> None:
    document = describe(_router().endpoints, "test")
    assert list(document["paths"]) == ["/thing/{thing_id}"]
    operation = document["paths"]["/thing/{thing_id}"]["post"]
    assert operation["summary"] == "Make a thing."
    assert operation["parameters"][0]["name"] == "thing_id"
    assert operation["requestBody"]["content"]["application/json"]["example"] == {"name": "x"}
    assert set(operation["responses"]) == {"200", "400", "401", "404", "413", "415"}
    assert set(operation["responses"]["400"]["content"]["application/json"]["examples"]) == {
        "invalid_request",
        "malformed_json",
    }


def test_field_errors_of_a_whole_body_are_named_body() -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - only here

    with pytest.raises(ValidationError) as caught:
        Body.model_validate("x")
    assert field_errors(caught.value)[0].field == "body"
