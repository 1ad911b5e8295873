"""Numbers of SIP URIs, as E.164."""

import pytest

from call_service.carriers.numbers import caller_of, e164_of


@pytest.mark.parametrize(
    ("user", "number"),
    [
        ("+12025550199", "+12025550199"),
        ("12025550199", "+12025550199"),
        ("0012025550199", "+12025550199"),
        ("%2B12025550199", "+12025550199"),
        ("+1-202-555-0199", "+12025550199"),
        ("+12025550199;phone-context=example.com", "+12025550199"),
        ("02025550199", None),
        ("reception", None),
        ("", None),
        ("+1202555019912345678", None),
    ],
)
def test_a_number_is_recognised(user: str, number: str | None) -> None:
    assert e164_of(user) == number


@pytest.mark.parametrize(
    ("user", "caller"),
    [
        ("12025550199", "+12025550199"),
        ("alice", "alice"),
        ("", "anonymous"),
        ("anonymous", "anonymous"),
        ("a\x00b\n", "ab"),
        ("x" * 500, "x" * 64),
    ],
)
def test_a_caller_is_shown(user: str, caller: str) -> None:
    assert caller_of(user) == caller
