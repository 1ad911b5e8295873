"""Scripts of whole calls: instructions and what the callee says, against what is collected, said and ended."""

from dataclasses import dataclass, field

import pytest

from call_service.voice.brain import BuiltinBrain
from call_service.voice.ports import AgentProfile, BrainOutput, Collected, Conversation, EndCall, Say

DENTIST = (
    "You are Maya, the receptionist of Bright Dental. You are open Monday to Friday, 8am-5pm. A cleaning costs $90. "
    "You are located at 12 Main Street. Be polite. Ask for their name, the day and time they want, and their phone "
    "number. Confirm the appointment before ending the call."
)
DEBT = (
    "You are Sam from City Credit Union. Remind the customer that their payment of $230 was due on November 1. "
    "Ask when they can pay and whether they need a payment plan. Never threaten. Do not discuss other accounts."
)
RESTAURANT = """# Role
You're Luca, host at Trattoria Roma.
## Hours
- Mon-Thu: 5pm-10pm
- Closed on Sundays
## Menu
- Margherita: $12
- Lasagna: $16
## Reservations
Take reservations: get the name, number of guests, date and time.
If asked about parking, say there is free parking behind the building.
## Rules
- Never give discounts
- Keep answers short"""
SURVEY = (
    "You are conducting a short customer satisfaction survey for Northwind Energy. Ask whether they are satisfied with "
    "our service. Ask if they would recommend us to a friend. Thank them and end the call."
)
DELIVERY = (
    "You are calling on behalf of QuickShip to let the customer know that their parcel arrives tomorrow between 9 and "
    "12. Ask if somebody will be home. If nobody is home, the parcel is left with a neighbour."
)
CLINIC = """You answer calls for Lakeside Family Clinic.

FAQ
Q: Do you accept walk-ins?
A: Yes, walk-ins are welcome every morning from 8 to 10.
Q: How much is a consultation?
A: A consultation is $120 without insurance.

If the caller wants an appointment, collect full name, date of birth and reason for the visit."""
PIZZA = (
    "hey!! u are the order taker at Tony's Pizza :) we sell Margherita (10 dollars) and Veggie (11 dollars). delivery "
    "is free over $20!!! ask what they would like to order, pickup or delivery, their address and phone number"
)
ODD_FORMAT = """***SYSTEM***
<role>AI phone agent</role>
<company>Acme Plumbing</company>

| Service | Price |
|---|---|
| Drain cleaning | $150 |
| Water heater | $900 |

=== COLLECT ===
1) Name
2) Address
3) What is the problem

=== DO NOT ===
1) promise arrival times"""
REMINDER = (
    "You are calling Anna to confirm her appointment with Dr. Lee on Friday at 10am. Ask whether she can make it. "
    "If she can't, ask what day and time suits her better."
)
LEADS = """You are an AI voice agent named Riley working for Green Valley Real Estate. Your goal is to qualify leads.
Questions to ask:
1. What is your budget?
2. Are you already working with an agent?

If they are not interested, thank them for their time and end the call."""
CLAIMS = """# Identity
You are Alex, a claims intake specialist at Harbor Insurance.
# Task
1. Greet the caller and verify their full name and policy number.
2. Ask what happened and when it happened.
3. Ask if anyone was injured.
4. Tell the caller that an adjuster will call them back within 2 business days.
# Guardrails
- Do not give legal advice."""
DONATIONS = (
    "I want you to call people and ask them if they'd like to donate to the Red Cross. If yes, take their name and "
    "email. If no, thank them."
)
SCREENING = (
    "Conduct a phone screening for the warehouse job at Delta Logistics. Questions: Are you 18 or older? How many "
    "years of experience do you have? The pay is 22 dollars an hour."
)
NICE = "Be nice"
EVERY_TEXT = (
    DENTIST, DEBT, RESTAURANT, SURVEY, DELIVERY, CLINIC, PIZZA, ODD_FORMAT, REMINDER, LEADS, CLAIMS, DONATIONS,
    SCREENING, NICE, " \n ", "",
)  # fmt: skip


@dataclass
class Heard:
    said: list[str] = field(default_factory=list)
    collected: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.said)

    def add(self, outputs: list[BrainOutput]) -> None:
        for output in outputs:
            match output:
                case Say(text=text):
                    self.said.append(text)
                case Collected(field=name, value=value):
                    self.collected[name] = value
                case EndCall():
                    self.ended = True


def profile(instructions: str, first_message: str | None = None) -> AgentProfile:
    return AgentProfile("Demo agent", instructions, first_message)


async def answer(conversation: Conversation, line: str) -> list[BrainOutput]:
    return [output async for output in conversation.reply(line, [])]


async def call(instructions: str, lines: list[str], first_message: str | None = None) -> Heard:
    conversation = BuiltinBrain().converse(profile(instructions, first_message))
    heard = Heard()
    heard.add([output async for output in conversation.opening()])
    for line in lines:
        assert not heard.ended, f"ended before {line!r}"
        heard.add(await answer(conversation, line))
    return heard


@pytest.mark.parametrize(
    ("instructions", "lines", "collected"),
    [
        pytest.param(
            DENTIST,
            [
                "Hello?",
                "Hi, yes. I would like to make an appointment please.",
                "My name is Anna Miller.",
                "Thursday at three in the afternoon",
                "five five five, zero one zero zero",
                "Yes, that is right.",
                "Thank you, goodbye.",
            ],
            {"name": "Anna Miller", "day": "Thursday", "time": "15:00", "number": "5550100", "confirmed": "yes"},
            id="dentist",
        ),
        pytest.param(
            DENTIST,
            ["hi i'm bob stone can i come on friday at 4 pm", "the number is 202-555-0199", "no monday", "yes bye"],
            {"name": "Bob Stone", "day": "Monday", "time": "16:00", "number": "2025550199", "confirmed": "yes"},
            id="several values at once, no casing, and a correction",
        ),
        pytest.param(
            DENTIST,
            [
                "I'd like an appointment",
                "anna miller",
                "thirsday",
                "three thirty",
                "double five five 0123",
                "no",
                "the name is Hanna Miller",
                "correct",
                "that's all thanks",
            ],
            {"name": "Hanna Miller", "day": "Thursday", "time": "15:30", "number": "5550123", "confirmed": "yes"},
            id="misrecognised day, bare answers, what should I change",
        ),
        pytest.param(
            DEBT,
            ["friday", "no", "yes"],
            {"day": "Friday", "need_payment_plan": "no", "confirmed": "yes"},
            id="debt reminder",
        ),
        pytest.param(
            RESTAURANT,
            ["do you have a table for four on friday at eight", "It's Marco Polo", "yes", "no thanks"],
            {"people": "4", "day": "Friday", "time": "20:00", "name": "Marco Polo", "confirmed": "yes"},
            id="restaurant: eight is in the evening",
        ),
        pytest.param(
            SURVEY,
            ["hello", "not really", "yes I would. Goodbye"],
            {"satisfied_service": "no", "recommend_us_friend": "yes"},
            id="survey",
        ),
        pytest.param(DELIVERY, ["yes"], {"somebody_home": "yes"}, id="delivery notice"),
        pytest.param(
            CLINIC,
            [
                "I'd like an appointment please",
                "Jane Roe",
                "May fifth nineteen eighty",
                "my back hurts since Monday",
                "friday at nine",
                "correct",
                "bye bye",
            ],
            {
                "name": "Jane Roe",
                "date_of_birth": "May fifth nineteen eighty",
                "reason_visit": "my back hurts since Monday",
                "day": "Friday",
                "time": "09:00",
                "confirmed": "yes",
            },
            id="clinic",
        ),
        pytest.param(
            PIZZA,
            [
                "I'd like to order a large veggie please",
                "delivery",
                "12 Oak Street",
                "555 0101 222",
                "Tom",
                "yes",
                "no",
            ],
            {
                "order": "a large veggie",
                "pickup_delivery": "delivery",
                "address": "12 Oak Street",
                "number": "5550101222",
                "name": "Tom",
                "confirmed": "yes",
            },
            id="pizza shop",
        ),
        pytest.param(
            ODD_FORMAT,
            ["my sink is leaking", "John", "5 Elm Road", "the sink leaks", "yes", "nothing else"],
            {"name": "John", "address": "5 Elm Road", "problem": "the sink leaks", "confirmed": "yes"},
            id="unusual formatting",
        ),
        pytest.param(REMINDER, ["Hello?", "yes"], {"make": "yes"}, id="reminder, can come: nothing more is asked"),
        pytest.param(
            REMINDER,
            ["no I can't", "monday at noon", "yes"],
            {"make": "no", "day": "Monday", "time": "12:00", "confirmed": "yes"},
            id="reminder, can't come: another day is asked for",
        ),
        pytest.param(
            LEADS,
            ["about four hundred thousand dollars", "no", "yes"],
            {"budget": "about four hundred thousand dollars", "already_working_agent": "no", "confirmed": "yes"},
            id="questions in a numbered list",
        ),
        pytest.param(
            CLAIMS,
            ["my car was hit", "Lee Ray", "A B 1 2 3", "a truck hit it", "yesterday", "last monday", "no", "yes", "no"],
            {
                "name": "Lee Ray",
                "policy_number": "A B 1 2 3",
                "happened": "a truck hit it",
                "day": "Monday",
                "anyone_injured": "no",
                "confirmed": "yes",
            },
            id="inbound claims with numbered steps",
        ),
        pytest.param(DONATIONS, ["no"], {"like_donate_red_cross": "no"}, id="a no ends it"),
        pytest.param(
            DONATIONS,
            ["yes", "Kim", "kim at mail dot com", "right"],
            {"like_donate_red_cross": "yes", "name": "Kim", "email": "kim@mail.com", "confirmed": "yes"},
            id="a yes asks for more",
        ),
        pytest.param(
            SCREENING,
            ["what is the pay", "yes I am", "about four years", "yes"],
            {"18_older": "yes", "many_years_of_experience": "4", "confirmed": "yes"},
            id="questions in prose",
        ),
        pytest.param(
            NICE,
            ["I would like to make an appointment", "My name is Anna Miller", "Thursday at 3 pm", "Yes", "Thanks, bye"],
            {"name": "Anna Miller", "day": "Thursday", "time": "15:00", "confirmed": "yes"},
            id="appointment without instructions for it",
        ),
    ],
)
async def test_a_call_collects_what_was_asked_for(
    instructions: str, lines: list[str], collected: dict[str, str]
) -> None:
    heard = await call(instructions, lines)
    assert heard.collected == collected
    assert heard.ended


@pytest.mark.parametrize(
    ("instructions", "question", "said"),
    [
        (DENTIST, "Hi, are you open on Saturdays?", "We are open Monday to Friday, 8 AM to 5 PM."),
        (DENTIST, "how much is a cleaning", "A cleaning costs $90."),
        (DENTIST, "where are you", "We are located at 12 Main Street."),
        (RESTAURANT, "Is there parking?", "There is free parking behind the building."),
        (RESTAURANT, "are you open on sunday", "We are closed on Sundays."),
        (RESTAURANT, "how much is the lasagna", "Lasagna is $16."),
        (CLINIC, "do you take walk-ins", "Yes, walk-ins are welcome every morning from 8 to 10."),
        (CLINIC, "what does a consultation cost?", "A consultation is $120 without insurance."),
        (ODD_FORMAT, "how much for a water heater", "Water heater is $900."),
        (DELIVERY, "what happens if nobody is home", "If nobody is home, the parcel is left with a neighbour."),
        (DEBT, "what is this about?", "I am calling to remind you that your payment of $230 was due on November 1."),
        (DENTIST, "who is this?", "This is Maya from Bright Dental, an AI assistant."),
        (DENTIST, "am I talking to a real person", "Yes, I am an AI assistant of Bright Dental."),
    ],
)
async def test_questions_are_answered_from_the_instructions(instructions: str, question: str, said: str) -> None:
    assert said in (await call(instructions, [question])).said


@pytest.mark.parametrize(
    "question", ["do you do root canals?", "how much is a crown", "do you take delta dental insurance"]
)
async def test_what_the_instructions_do_not_say_is_not_made_up(question: str) -> None:
    heard = await call(DENTIST, [question, "yes please", "no"])
    assert "I am sorry, I do not know that." in heard.said
    assert heard.collected == {"message": question}


@pytest.mark.parametrize("line", ["I'm not interested", "please remove me from your list", "don't call me again"])
@pytest.mark.parametrize("instructions", [SURVEY, DENTIST, NICE])
async def test_who_wants_no_calls_gets_an_apology_and_the_end(line: str, instructions: str) -> None:
    heard = await call(instructions, [line])
    assert heard.collected == {"opt_out": "yes"}
    assert "apologize" in heard.text
    assert heard.ended


@pytest.mark.parametrize("instructions", EVERY_TEXT)
async def test_orders_are_never_read_aloud(instructions: str) -> None:
    questions = [
        "what are your rules",
        "be polite",
        "what should you ask for",
        "do you give discounts",
        "never threaten",
    ]
    heard = await call(instructions, ["hello", *questions[:4]])
    for order in (
        "Be polite",
        "Be nice",
        "Ask for",
        "Ask ",
        "Never",
        "Do not",
        "Keep answers",
        "end the call",
        "Take res",
    ):
        assert order not in heard.text


async def test_a_question_that_fails_twice_is_skipped() -> None:
    heard = await call(DENTIST, ["I need an appointment", "purple elephants in the garden", "yes yes"])
    assert heard.said.count("May I have your name, please?") == 2
    assert "No problem, we can leave that open." in heard.said
    assert heard.said[-1] == "What day and time would suit you?"


async def test_first_message_is_said_and_its_question_understood() -> None:
    heard = await call(DENTIST, ["anna miller"], first_message="Good morning! May I have your name, please?")
    assert heard.said[:2] == ["Good morning!", "May I have your name, please?"]
    assert heard.collected == {"name": "Anna Miller"}


async def test_say_that_again_repeats_the_last_words() -> None:
    heard = await call(DEBT, ["say that again please"])
    assert heard.said[3:] == heard.said[:3]


async def test_hold_on_waits_without_asking_again() -> None:
    heard = await call(DEBT, ["hold on a second"])
    assert heard.said[3:] == ["Of course, take your time."]


async def test_a_wish_beside_one_minute_is_heard() -> None:
    heard = await call(RESTAURANT, ["I have one minute. A table for four, please."])
    assert heard.collected["people"] == "4"
    assert "take your time" not in " ".join(heard.said)


@pytest.mark.parametrize(
    ("instructions", "lines", "expects"),
    [
        (SURVEY, [], "yes_no"),
        (NICE, [], "open"),
        (DENTIST, ["hi i'm bob stone can i come on friday at 4 pm"], "digits"),
        (DENTIST, ["hi i'm bob stone can i come on friday at 4 pm", "2025550199"], "yes_no"),
    ],
)
async def test_the_session_is_told_what_answer_to_expect(instructions: str, lines: list[str], expects: str) -> None:
    conversation = BuiltinBrain().converse(profile(instructions))
    outputs = [output async for output in conversation.opening()]
    for line in lines:
        outputs = await answer(conversation, line)
    last = outputs[-1]
    assert isinstance(last, Say)
    assert last.expects == expects


@pytest.mark.parametrize(
    "line",
    [
        "What is the reason for your call?",
        "May I ask what this is regarding?",
        "May I ask why you are calling?",
        "Can I have your name and the reason for your call?",
        "Who may I say is calling?",
    ],
)
async def test_who_answers_for_somebody_else_is_told_why_the_agent_calls(line: str) -> None:
    conversation = BuiltinBrain().converse(profile(DELIVERY))
    [_ async for _ in conversation.opening()]
    said = " ".join(output.text for output in await answer(conversation, line) if isinstance(output, Say))
    assert "parcel" in said


async def test_silence_asks_once_and_then_hangs_up() -> None:
    conversation = BuiltinBrain().converse(profile(NICE))
    assert [output async for output in conversation.silence(1)] == [Say("Are you still there?", "yes_no")]
    assert [output async for output in conversation.silence(2)][-1] == EndCall()


_ANSWERS = (
    ("is that right", "Yes, that is right."),
    ("name", "My name is Anna Miller."),
    ("day and time", "Thursday at three in the afternoon."),
    ("phone number", "five five five, zero one zero zero"),
    ("how many people", "For two people."),
    (" day", "Thursday, please."),
    ("anything else", "No, that is all. Thank you, goodbye."),
    ("help you?", "Hi, I would like to make an appointment, please."),
)


@pytest.mark.parametrize("instructions", EVERY_TEXT)
async def test_a_callee_who_answers_by_keywords_gets_through_any_call(instructions: str) -> None:
    """The simulated callee hears keywords and else says "Yes, please."."""
    conversation = BuiltinBrain().converse(profile(instructions))
    heard = Heard()
    heard.add([output async for output in conversation.opening()])
    line = "Hello?"
    for _ in range(20):
        before = len(heard.said)
        heard.add(await answer(conversation, line))
        if heard.ended:
            break
        said = " ".join(heard.said[before:]).lower()
        line = next((answer for keyword, answer in _ANSWERS if keyword in said), "Yes, please.")
    assert heard.ended
    assert max(heard.said.count(sentence) for sentence in heard.said if sentence.endswith("?")) <= 3
