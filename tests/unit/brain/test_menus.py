"""Which key of a recorded menu leads to the goal: menus as companies record them."""

import pytest

from call_service.voice.brain.menu import MAX_PRESSED, Choice, Navigator, choices_in

DENTIST = (
    "Thank you for calling Bright Dental. If this is an emergency, please hang up and dial 911. "
    "To make or change an appointment, press one. For billing, press two. For all other questions, press zero."
)
BANK = (
    "welcome to first bank press 1 for account balances press 2 for credit cards press 3 to report a lost card "
    "or press 0 to speak with a representative"
)
AIRLINE = "If you know your party's extension, dial it now. For reservations, press or say one. For baggage, press 2."


@pytest.mark.parametrize(
    ("menu", "choices"),
    [
        (
            DENTIST,
            [
                Choice("1", "To make or change an appointment"),
                Choice("2", "For billing"),
                Choice("0", "For all other questions"),
            ],
        ),
        (
            BANK,
            [
                Choice("1", "for account balances"),
                Choice("2", "for credit cards"),
                Choice("3", "to report a lost card or"),
                Choice("0", "to speak with a representative"),
            ],
        ),
        (AIRLINE, [Choice("1", "For reservations"), Choice("2", "For baggage")]),
        ("To hear these options again, press star.", [Choice("*", "To hear these options again")]),
        ("When you are finished, press the pound key.", [Choice("#", "When you are finished")]),
        ("Your call is important to us. Please stay on the line.", []),
        ("Hello, this is Bob, how can I help?", []),
        ("", []),
    ],
)
def test_choices_are_read_with_their_words_before_or_behind_the_key(menu: str, choices: list[Choice]) -> None:
    assert choices_in(menu) == choices


@pytest.mark.parametrize(
    ("menu", "goal", "key"),
    [
        (DENTIST, "make an appointment", "1"),
        (DENTIST, "book a check-up", "1"),
        (DENTIST, "ask about an invoice", "2"),
        (BANK, "reach the reception", "0"),
        (BANK, "report a lost card", "3"),
        (BANK, None, "0"),
        (AIRLINE, "book a flight", "1"),
        (AIRLINE, "speak to a person", None),
        ("Please hold.", "sales", None),
    ],
)
def test_the_key_that_leads_to_the_goal_is_pressed(menu: str, goal: str | None, key: str | None) -> None:
    assert Navigator(goal).key_for(menu) == key


def test_the_right_choice_may_come_in_a_later_part() -> None:
    way = Navigator("speak with somebody about billing")
    assert way.key_for("For new patients, press one.") is None
    assert way.key_for("For billing, press two.") == "2"


def test_a_menu_that_begins_again_without_the_goal_is_left_by_the_way_for_everything_else() -> None:
    way = Navigator("ask for the opening hours")
    assert way.key_for(DENTIST) is None
    assert way.key_for(DENTIST) == "0"


def test_each_menu_is_a_new_one_and_no_call_presses_for_ever() -> None:
    way = Navigator("sales")
    assert [way.key_for("For sales, press one.") for _ in range(4)] == ["1", "1", None, None]
    other = Navigator("sales")
    pressed = [other.key_for(f"For sales in city {number}, press {number % 10}.") for number in range(20)]
    assert sum(key is not None for key in pressed) == MAX_PRESSED
