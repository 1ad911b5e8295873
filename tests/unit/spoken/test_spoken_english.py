"""What people say on the phone: yes and no, numbers, days, times, names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.spoken.answers import is_refusal, yes_or_no
from call_service.spoken.names import name_in
from call_service.spoken.numbers import digit_string, quantities
from call_service.spoken.when import day_in, time_in


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Yes, that is right.", True),
        ("yeah sure", True),
        ("no problem", True),
        ("of course", True),
        ("No.", False),
        ("not really", False),
        ("that's not right", False),
        ("that is wrong", False),
        ("I do not", False),
        ("I can't", False),
        ("no I can", False),
        ("I don't know", None),
        ("I'm not sure", None),
        ("I'd rather not say", None),
        ("hello", None),
        ("", None),
    ],
)
def test_yes_or_no(said: str, meant: bool | None) -> None:
    assert yes_or_no(said) is meant


def test_refusals() -> None:
    assert is_refusal("I'd rather not say")
    assert is_refusal("that's none of your business")
    assert not is_refusal("my name is Bob")


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("five five five, zero one zero zero", "5550100"),
        ("plus one 202 555-0100", "+12025550100"),
        ("double five oh three", "5503"),
        ("(202) 555-0100", "2025550100"),
        ("fifty five twelve", "5512"),
        ("oh well", ""),
        ("triple two", "222"),
    ],
)
def test_dictated_digits(said: str, digits: str) -> None:
    assert digit_string(said) == digits


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("twenty five", [25]),
        ("two hundred fifty", [250]),
        ("one thousand two hundred", [1200]),
        ("about 3.5 or so", [3.5]),
        ("$1,200", [1200]),
        ("between 3 and five", [3, 5]),
        ("none", []),
    ],
)
def test_quantities(said: str, found: list[float]) -> None:
    assert quantities(said) == found


@pytest.mark.parametrize(
    ("said", "day", "time"),
    [
        ("Thursday at three in the afternoon", "Thursday", "15:00"),
        ("thirsday three pm", "Thursday", "15:00"),
        ("at 3:30 p.m.", None, "15:30"),
        ("half past two", None, "14:30"),
        ("quarter to five", None, "16:45"),
        ("noon tomorrow", "Tomorrow", "12:00"),
        ("May 5 at 3 pm", "May 5", "15:00"),
        ("on the fifth of may around eleven thirty", "May 5", "11:30"),
        ("next friday 15:00", "Next Friday", "15:00"),
        ("Wednesday morning at nine", "Wednesday", "09:00"),
        ("twelve fifteen am", None, "00:15"),
        ("may I ask something", None, None),
        ("five five five zero one zero zero", None, None),
        ("at 5 people", None, None),
    ],
)
def test_days_and_times(said: str, day: str | None, time: str | None) -> None:
    assert (day_in(said), time_in(said)) == (day, time)


def test_what_counts_only_as_an_answer() -> None:
    assert (time_in("three"), time_in("three", asked=True)) == (None, "15:00")
    assert (time_in("in the morning"), time_in("in the morning", asked=True)) == (None, "morning")
    assert (day_in("the fifth"), day_in("the fifth", asked=True)) == (None, "the 5")


def test_tables_are_taken_in_the_evening() -> None:
    assert time_in("at eight") == "08:00"
    assert time_in("at eight", evening=True) == "20:00"


@pytest.mark.parametrize(
    ("said", "introduced", "answered"),
    [
        ("My name is Anna Miller.", "Anna Miller", "Anna Miller"),
        ("hi yes this is bob calling about my car", "Bob", "Bob"),
        ("It's John McDonald", "John McDonald", "John McDonald"),
        ("Bob Smith speaking", "Bob Smith", "Bob Smith"),
        ("anna miller", None, "Anna Miller"),
        ("Yes, Anna Miller, please", None, "Anna Miller"),
        ("A N N A", None, "Anna"),
        ("i'm sorry what", None, None),
        ("I'm calling about the bill", None, None),
        ("I don't know", None, None),
        ("thursday", None, None),
        ("", None, None),
    ],
)
def test_names(said: str, introduced: str | None, answered: str | None) -> None:
    assert name_in(said) == introduced
    assert name_in(said, asked=True) == answered


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=120))
def test_no_utterance_breaks_them(said: str) -> None:
    time = time_in(said, asked=True)
    assert time is None or time in {"morning", "afternoon", "evening", "noon", "any time"} or len(time) == 5
    assert set(digit_string(said)) <= set("+0123456789")
    day_in(said, asked=True)
    name_in(said, asked=True)
    yes_or_no(said)
    quantities(said)
