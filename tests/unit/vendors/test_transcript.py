"""Which words of a stream belong to which utterance."""

from call_service.vendors.recognition.assemblyai import default_model
from call_service.vendors.recognition.transcript import Heard, Transcript


def heard(key: int, text: str, end_ms: int, *, is_final: bool = True) -> Heard:
    return Heard(key, text, end_ms, is_final)


def test_an_interim_text_is_replaced_by_the_final_one_of_the_same_stretch() -> None:
    transcript = Transcript()
    transcript.add(heard(0, "my name", 900, is_final=False))
    assert transcript.is_pending
    transcript.add(heard(0, "My name is Anna.", 1200))
    assert (transcript.text, transcript.is_pending) == ("My name is Anna.", False)


def test_an_interim_text_that_came_to_nothing_is_gone() -> None:
    transcript = Transcript()
    transcript.add(heard(0, "so", 900, is_final=False))
    transcript.add(heard(0, "", 1200))
    assert transcript.text == ""


def test_stretches_come_in_order() -> None:
    transcript = Transcript()
    transcript.add(heard(1000, "Anna.", 1500))
    transcript.add(heard(0, "I am", 900))
    assert transcript.text == "I am Anna."


def test_a_late_text_of_the_utterance_before_is_not_heard_in_the_next() -> None:
    transcript = Transcript()
    transcript.ask(b"first", 2000, 2500)
    transcript.add(heard(0, "late", 2300))
    transcript.ask(b"second", 1000, 5000)
    transcript.add(heard(0, "later still", 2400))
    transcript.add(heard(1, "new", 4800))
    assert transcript.text == "new"


def test_what_was_heard_long_before_an_utterance_is_noise_and_just_before_it_a_first_word() -> None:
    transcript = Transcript()
    transcript.add(heard(0, "noise", 1000))
    transcript.add(heard(1, "Yes,", 8900))
    transcript.add(heard(2, "please.", 10_500))
    transcript.ask(b"pcm", 1000, 11_000)
    assert transcript.text == "Yes, please."


def test_an_utterance_that_grew_keeps_its_text() -> None:
    transcript = Transcript()
    transcript.ask(b"pcm", 1000, 1200)
    transcript.add(heard(0, "My number is", 1100))
    transcript.ask(b"pcm and more", 3000, 3500)
    transcript.add(heard(1200, "five.", 3000))
    assert transcript.text == "My number is five."


def flushed(key: int, text: str, end_ms: int) -> Heard:
    return Heard(key, text, end_ms, is_final=True, is_flushed=True)


def test_the_answer_to_the_question_before_is_told_from_the_answer_by_what_it_covers() -> None:
    transcript = Transcript()
    transcript.ask(b"pcm", 1000, 1200)
    transcript.ask(b"pcm and more", 3000, 3500)
    transcript.add(flushed(0, "My number is", 1200))
    assert (transcript.is_answered, transcript.is_pending) == (False, True)
    transcript.add(flushed(1200, "five.", 3000))
    assert (transcript.is_answered, transcript.is_pending) == (True, False)


def test_a_question_that_was_answered_does_not_hold_up_the_next() -> None:
    transcript = Transcript()
    transcript.ask(b"pcm", 1000, 1200)
    transcript.add(flushed(0, "Yes.", 1100))
    transcript.ask(b"other", 1000, 3500)
    assert not transcript.is_answered
    transcript.add(flushed(0, "", 0))  # there was only noise, and no word to tell where it ended
    assert transcript.is_answered


def test_the_model_of_assemblyai_knows_the_agents_language() -> None:
    models = {language: default_model(language) for language in ("en-GB", "es-ES")}
    assert models == {"en-GB": "universal-streaming-english", "es-ES": "universal-streaming-multilingual"}
