"""What somebody else's instructions are understood to mean."""

import pytest

from call_service.voice.brain.asking import slots_of
from call_service.voice.brain.brief import Brief, brief_of
from call_service.voice.brain.persona import Persona
from call_service.voice.ports import AgentProfile


def brief(instructions: str, name: str = "Demo agent", first_message: str | None = None) -> Brief:
    return brief_of(AgentProfile(name, instructions, first_message))


@pytest.mark.parametrize(
    ("instructions", "persona"),
    [
        ("You are Maya, the receptionist of Bright Dental.", Persona("Maya", "receptionist", "Bright Dental")),
        ("You're Luca, host at Trattoria Roma.", Persona("Luca", "host", "Trattoria Roma")),
        ("you are maya, the receptionist of bright dental", Persona("Maya", "receptionist", "Bright Dental")),
        ("You are Sam from City Credit Union.", Persona("Sam", None, "City Credit Union")),
        ("Your name is Jo. You work for Iron Gym.", Persona("Jo", None, "Iron Gym")),
        ("You answer calls for Lakeside Family Clinic.", Persona(None, None, "Lakeside Family Clinic")),
        ("Name: Zoe\nCompany: Acme & Sons", Persona("Zoe", None, "Acme & Sons")),
        ("You are open on Monday.", Persona(None, None, None)),
        ("Be nice", Persona(None, None, None)),
    ],
)
def test_persona(instructions: str, persona: Persona) -> None:
    assert brief(instructions).persona == persona


def test_the_agent_s_own_name_is_used_where_it_looks_like_one() -> None:
    assert brief("Be nice", name="Olivia").persona.name == "Olivia"
    assert brief("Be nice", name="test_agent_7").persona.name is None


@pytest.mark.parametrize(
    ("phrase", "questions"),
    [
        ("full name, date of birth and reason for the visit", [
            "May I have your name, please?", "What is your date of birth?", "What is the reason for the visit?"]),
        ("whether they are a new patient and if they have insurance", [
            "Are you a new patient?", "Do you have insurance?"]),
        ("how satisfied they are on a scale from 1 to 5", ["How satisfied are you on a scale from 1 to 5?"]),
        ("what they would like to order, pickup or delivery", [
            "What would you like to order?", "Would you like pickup or delivery?"]),
        ("when they can pay", ["When can you pay?"]),
        ("which service they need", ["Which service do you need?"]),
        ("whether their address is still correct", ["Is your address still correct?"]),
        ("whether the customer has already paid the invoice", ["Have you already paid the invoice?"]),
        ("number of guests, preferred date/time, any allergies", [
            "How many people will there be?", "What day would suit you?", "What time would suit you?",
            "What are your allergies?"]),
        ("how you can help", []),
        ("if they need anything else", []),
    ],
)  # fmt: skip
def test_questions_for_what_is_to_be_collected(phrase: str, questions: list[str]) -> None:
    assert [slot.question for slot in slots_of(phrase)] == questions


@pytest.mark.parametrize(
    ("instructions", "facts"),
    [
        ("You are open Mon-Fri 9am-5pm.", ["We are open Monday to Friday 9 AM to 5 PM."]),
        ("Opening hours: 9 to 5", ["We are open 9 to 5."]),
        ("Our phone number is 555-0142.", ["Our phone number is 555-0142."]),
        ("If asked about parking, say there is free parking.", ["There is free parking."]),
        ('If they ask about pets, say "Dogs are welcome."', ["Dogs are welcome."]),
        ("Q: Do you ship abroad?\nA: You can order from any country.", ["You can order from any country."]),
        ("- Do you have wifi? Yes, it is free.", ["Yes, it is free."]),
        ("## Policies\n- No pets", ["No pets."]),
        ("Be polite. Never mention prices. You should keep it short. Upsell desserts.", []),
        ("Your tone is warm. The agent must be brief. Escalate complaints to Bob.", []),
        ("## Rules\n- We are never rude", []),
        ("You must not say that we are closed.", []),
        ("Ask for the name and say goodbye.", []),
    ],
)
def test_only_statements_become_facts(instructions: str, facts: list[str]) -> None:
    assert [fact.text for fact in brief(instructions).facts] == facts


def test_a_list_is_also_one_fact() -> None:
    facts = [fact.text for fact in brief("## Menu\n- Margherita: $12\n- Lasagna: $16").facts]
    assert facts == ["Margherita is $12.", "Lasagna is $16.", "Menu: Margherita $12, Lasagna $16."]


@pytest.mark.parametrize(
    ("instructions", "purpose"),
    [
        ("Remind the customer that their bill is due.", ("I am calling to remind you that your bill is due.",)),
        ("You are calling about their overdue invoice.", ("I am calling about your overdue invoice.",)),
        ("Let them know that their parcel arrives today.", ("Your parcel arrives today.",)),
        ("You should invite the person to a free trial.", ("I am calling to invite you to a free trial.",)),
        ("You answer calls for Acme Corp.", ()),
        ("If they are not interested, thank them for their time.", ()),
    ],
)
def test_purpose_of_an_outbound_call(instructions: str, purpose: tuple[str, ...]) -> None:
    assert brief(instructions).purpose == purpose


def test_greeting_and_closing() -> None:
    text = 'Start by saying "Hi, this is Jo." End the call with "Have a great day."'
    assert (brief(text).greeting, brief(text).closing) == ("Hi, this is Jo.", "Have a great day.")
    assert brief(text, first_message="Good morning.").greeting == "Good morning."


def test_what_is_only_asked_after_a_no() -> None:
    slots = brief("Ask whether they can come. If they can't, ask for the reason.").slots
    assert [(slot.key, slot.only_if) for slot in slots] == [("come", None), ("reason", ("come", "no"))]


def test_values_wanted_only_by_some_callers() -> None:
    assert not brief("If the caller wants an appointment, ask for their name.").collects_always
    assert brief("Ask for their name.").collects_always
