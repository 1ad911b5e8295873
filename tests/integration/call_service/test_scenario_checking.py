"""What is sent as scenarios is checked in a process of its own, with a limit on everything."""

from typing import Any

import orjson
import pytest

from call_service.carriers import scripts
from call_service.carriers.scripts import MAX_UNICODE_CLASSES
from call_service.scenarios.checking import Checker
from call_service.scenarios.errors import ScenarioCheckersBusyError
from call_service.scenarios.parsing import MAX_ERRORS
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stored import read_scenario
from shared.errors import UnprocessableError
from shared.fair_places import FairPlaces

PATTERN = {"turns": [{"wait_for": "good(bye)?", "say": "Goodbye."}]}


def scenario(name: str = "one", **callee: Any) -> dict[str, Any]:
    return {"name": name, "callee": {"description": "x", **(callee or PATTERN)}, "expect": {"says": ["hello"]}}


async def refused(checker: Checker, *scenarios: Any, **more: Any) -> UnprocessableError:
    with pytest.raises(UnprocessableError) as caught:
        await checker.played("t", {"scenarios": scenarios, **more})
    return caught.value


async def test_each_call_is_given_as_it_is_stored_and_nothing_is_compiled_in_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(scripts, "compiled")
    lines = [{}, {"noise_db": 20}]
    played = await Checker().played("t", {"scenarios": [scenario("one"), scenario("two")], "lines": lines})
    stored = [orjson.loads(json) for json in played]
    read = [read_scenario(one) for one in stored]
    assert [(one.name, one.line.label, may_be_played) for one, may_be_played in read] == [
        ("one", "clean", True),
        ("two", "clean", True),
        ("one", "20 dB", True),
        ("two", "20 dB", True),
    ]
    assert read[0][0].callee.turns[0].wait_for == "good(bye)?"
    assert stored[0] == {**scenario("one"), "line": {}}


async def test_what_is_wrong_is_named() -> None:
    bad = scenario(turns=[{"wait_for": "("}, {"wait_for": "\\pL" * (MAX_UNICODE_CLASSES + 1)}])
    error = await refused(Checker(), scenario(), bad, lines=[{"noise_db": 61}])
    assert [(one.field, one.message) for one in error.errors] == [
        ("scenarios.1.callee.turns.0.wait_for", "not a regular expression of RE2: missing ): ("),
        ("scenarios.1.callee.turns.1.wait_for", "more than 10 classes of Unicode (\\p…) in a regular expression"),
        ("lines.0.noise_db", "Input should be less than or equal to 60"),
    ]
    assert error.message.startswith("scenarios.1.callee.turns.0.wait_for: not a regular")


async def test_a_body_with_very_many_errors_is_answered_with_some() -> None:
    error = await refused(Checker(), *[{}] * 1000)
    assert len(error.errors) == MAX_ERRORS
    assert (error.errors[0].field, error.errors[0].code) == ("scenarios.0.name", "missing")


async def test_what_takes_too_long_is_refused() -> None:
    error = await refused(Checker(seconds=0.01), scenario())
    assert (error.errors[0].field, error.errors[0].code) == ("scenarios", "too_complex")


async def test_nobody_waits_for_ever() -> None:
    places = FairPlaces(1, waiting=1, of_one=1, patience_seconds=0.01)
    async with places.place("somebody"):
        with pytest.raises(ScenarioCheckersBusyError):
            await Checker(places=places).played("t", {"scenarios": [scenario()]})
    assert await Checker(places=places).played("t", {"scenarios": [scenario()]})


def test_a_stored_pattern_of_other_rules_does_not_make_a_test_unreadable() -> None:
    stored = scenario(turns=[{"wait_for": "("}])
    assert read_scenario(stored)[1]
    with pytest.raises(ValueError, match="not a regular expression"):
        Scenario.model_validate(stored)
