import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.memory_bus import matches


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("call.ended", "call.ended", True),
        ("call.ended", "call.ended.twice", False),
        ("call.*", "call.ended", True),
        ("call.*", "call.transcript.ready", False),
        ("call.*", "call", False),
        ("call.#", "call", True),
        ("call.#", "call.transcript.ready", True),
        ("#", "anything.at.all", True),
        ("#.ready", "call.transcript.ready", True),
        ("#.ready", "call.ended", False),
        ("*.transcript.*", "call.transcript.ready", True),
        ("call.#.ready", "call.ready", True),
        ("*", "call.ended", False),
        ("call", "recall", False),
    ],
)
def test_patterns_of_the_amqp_specification(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


KEYS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5)


@given(KEYS, st.data())
def test_any_words_may_be_replaced_by_wildcards(words: list[str], data: st.DataObject) -> None:
    starred = [data.draw(st.sampled_from([word, "*"])) for word in words]
    assert matches(".".join(starred), ".".join(words))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(words))] * 2)))
    assert matches(".".join([*starred[:start], "#", *starred[end:]]), ".".join(words))


@given(KEYS, KEYS)
def test_without_wildcards_only_the_same_key_matches(pattern: list[str], key: list[str]) -> None:
    assert matches(".".join(pattern), ".".join(key)) is (pattern == key)
