"""Scenario files: what can be written, what is refused by name, and how lines multiply scenarios."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from call_service.carriers.scripts import MAX_UNICODE_CLASSES
from call_service.carriers.simulated import ScriptBook
from call_service.scenarios.scenario import CONVERSING, EXAMPLE, MAX_SCENARIOS, Line, Scenario, ScenarioSet
from call_service.scenarios.suite import ScenarioFileError, read_agent, read_suite

CALLEE = {"description": "Says hello.", "turns": [{"say": "Hello?"}]}
SCENARIO: dict[str, Any] = {"name": "one", "callee": CALLEE, "expect": {"says": ["hello"]}}
AGENT = {"name": "Maya", "systemInstruction": "Be kind."}


def scenario(**changes: Any) -> dict[str, Any]:
    return {**SCENARIO, **changes}


def problem(values: dict[str, Any], model: type[Scenario | ScenarioSet] = Scenario) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    error = caught.value.errors()[0]
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def test_the_example_is_valid_and_survives_a_round_trip() -> None:
    example = Scenario.model_validate(EXAMPLE)
    assert Scenario.model_validate(json.loads(example.model_dump_json(exclude_unset=True))) == example
    assert "name" in example.expect.data  # null stays: any value will do


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "name: String should have at least 1 character"),
        ({"callee": {"description": "x", "turns": [{"wait_for": "("}]}}, "callee.turns.0.wait_for: .*not a regular"),
        ({"callee": {"description": "x", "turns": [{"noise": 3}]}}, "callee.turns.0.noise: Extra inputs"),
        ({"line": {"packet_loss_percent": 70}}, "line.packet_loss_percent: .*less than or equal to 50"),
        ({"expect": {}}, "expect: .*at least one expectation"),
        ({"expect": {"says": ["…"]}}, "expect: .*no word to compare"),
        ({"expect": {"data": {"day": []}}}, "expect.data.day.*"),
        ({"expect": {"status": "fine"}}, "expect.status: Input should be"),
        ({"max_seconds": 601}, "max_seconds: .*less than or equal to 600"),
        ({"callee": {**CALLEE, "conversation_of": "+12025550105"}}, "conversation_of: only .*12025550100 converses"),
        ({"callee": {"description": "x", "turns": [{"interrupt_after_words": 2, "wait_for": ""}]}}, ".*exclude each"),
    ],
)
def test_what_can_not_be_used_is_named(changes: dict[str, Any], message: str) -> None:
    import re  # noqa: PLC0415 - only the comparison needs it

    found = problem(scenario(**changes))
    assert re.search(message, found), found


def test_a_pattern_of_a_stranger_can_not_take_the_memory_or_the_time_of_a_worker() -> None:
    assert "too large" in problem(
        scenario(callee={"description": "x", "turns": [{"wait_for": "a{0,1000}" * 50}]})
    ) or "invalid repetition" in problem(
        scenario(callee={"description": "x", "turns": [{"wait_for": "(a{999}){999}"}]})
    )
    slow = Scenario.model_validate(scenario(callee={"description": "x", "turns": [{"wait_for": "(a+)+$"}]}))
    assert slow.callee.turns[0].wait_for == "(a+)+$"


def test_a_pattern_has_few_classes_of_unicode() -> None:
    """One of 1,000 characters took 41 ms to compile, during which a worker sent no frame of any call."""
    fine, too_many = "\\pL" * MAX_UNICODE_CLASSES, "\\PL" * (MAX_UNICODE_CLASSES + 1)
    assert "too large" in problem(scenario(callee={"description": "x", "turns": [{"wait_for": fine}]}))
    assert "more than 10 classes of Unicode" in problem(
        scenario(callee={"description": "x", "turns": [{"wait_for": too_many}]})
    )


def test_all_patterns_of_a_callee_are_known_before_it_is_called() -> None:
    conversation = {"replies": {"day": {"match": "when"}}, "otherwise": "Yes.", "order": ["day"]}
    turns = [{"wait_for": ""}, {"say": "Hello?"}, {"wait_for": "name"}]
    callee = {"description": "x", "turns": turns, "conversation": conversation}
    assert list(Scenario.model_validate(scenario(callee=callee)).callee.patterns()) == ["name", "when"]


def test_the_conversations_that_may_be_named_are_those_of_the_simulated_carrier() -> None:
    book = ScriptBook.load()
    scripts = {number: book.find(number) for number in book.numbers}
    assert {number for number, script in scripts.items() if script and script.conversation} == CONVERSING


def test_names_are_unique() -> None:
    found = problem({"scenarios": [SCENARIO, SCENARIO]}, ScenarioSet)
    assert "several are called one" in found


def test_each_scenario_is_played_on_each_line() -> None:
    lines = [{}, {"noise_db": 15}, {"noise_db": 20, "packet_loss_percent": 1}]
    played = ScenarioSet.model_validate({"scenarios": [SCENARIO, scenario(name="two")], "lines": lines}).played()
    assert [(one.name, one.line.label) for one in played] == [
        ("one", "clean"),
        ("two", "clean"),
        ("one", "15 dB"),
        ("two", "15 dB"),
        ("one", "20 dB, 1 % loss"),
        ("two", "20 dB, 1 % loss"),
    ]


def test_lines_do_not_multiply_without_a_limit() -> None:
    many = [scenario(name=f"number {number}") for number in range(100)]
    lines = [{"noise_db": db} for db in (10, 15, 20)]
    assert f"more than {MAX_SCENARIOS}" in problem({"scenarios": many, "lines": lines}, ScenarioSet)
    assert "listed twice" in problem({"scenarios": [SCENARIO], "lines": [{"noise_db": 10}] * 2}, ScenarioSet)


def test_a_line_is_set_before_the_callee_says_anything() -> None:
    script = Scenario.model_validate(SCENARIO).callee
    assert script.on_line(None, None) is script
    noisy = script.on_line(20, 1)
    assert [(turn.noise_db, turn.packet_loss_percent, turn.say) for turn in noisy.turns] == [
        (20, 1, None),
        (None, None, "Hello?"),
    ]
    assert Line(packet_loss_percent=0).label == "clean"


def test_a_file_has_its_agent_with_the_defaults_of_the_platform(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"agent": {**AGENT, "requiredTests": ["one"]}, "scenarios": [SCENARIO]}))
    cast = read_suite(path).cast()
    assert cast is not None
    assert (cast.agent["silenceTimeoutSeconds"], cast.agent["voicemail"]["action"]) == (6, "hang_up")
    assert (cast.agent["voice_id"], cast.agent["requiredTests"]) == ("heart", ["one"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "suite.json: .*Invalid JSON"),
        ('{"scenarios": []}', "suite.json: scenarios: .*at least 1 item"),
        ('{"scenarios": [{"name": "x"}]}', r"suite.json: scenarios\.0\.callee: Field required"),
    ],
)
def test_a_file_that_can_not_be_used_is_named_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(ScenarioFileError, match=message):
        read_suite(path)
    with pytest.raises(ScenarioFileError, match=r"agent.json: No such file"):
        read_agent(tmp_path / "agent.json")
