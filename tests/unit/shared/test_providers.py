"""Where vendors are reached."""

import pytest
from pydantic import HttpUrl, TypeAdapter, ValidationError

from shared.providers import PROVIDERS, BaseUrls, at, base_url_of


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://a.example/v1", "models", "https://a.example/v1/models"),
        ("https://a.example/v1/", "models", "https://a.example/v1/models"),
        ("https://a.example", "token?x=1", "https://a.example/token?x=1"),
        (
            "https://a.example/d/gpt?api-version=1",
            "chat/completions",
            "https://a.example/d/gpt/chat/completions?api-version=1",
        ),
        ("https://a.example/v1?a=1", "speak?b=2", "https://a.example/v1/speak?a=1&b=2"),
    ],
)
def test_paths_are_below_the_base_and_its_query_stays(base: str, path: str, url: str) -> None:
    assert str(at(base, path)) == url


def test_the_operators_place_comes_first_and_a_customer_only_says_where_nobody_else_does() -> None:
    operators = {"deepgram": HttpUrl("http://proxy/v1/")}
    assert base_url_of("deepgram", operators, "https://customer.example") == "http://proxy/v1"
    assert base_url_of("openai", operators, "https://customer.example") == PROVIDERS["openai"].base_url
    assert base_url_of("openai_compatible", operators, "https://customer.example") == "https://customer.example"
    assert base_url_of("openai_compatible", operators, None) is None


def test_a_place_for_an_unknown_vendor_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="no provider depgram"):
        TypeAdapter(BaseUrls).validate_python({"depgram": "http://proxy/v1"})


def test_no_key_no_header() -> None:
    assert PROVIDERS["openai_compatible"].headers_with("") == {}
    assert PROVIDERS["deepgram"].headers_with("k") == {"Authorization": "Token k"}
