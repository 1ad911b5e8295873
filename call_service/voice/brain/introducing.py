"""Who is calling and why, for somebody who has to decide whether to put the call through."""

from call_service.voice.brain.brief import brief_of
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.ports import AgentProfile

NO_REASON = "I would like to speak with the person I am calling, please."


def introduction_of(profile: AgentProfile) -> str:
    """Name and purpose from the instructions; where those tell no purpose, what the first message states."""
    brief = brief_of(profile)
    stated = [sentence for sentence in split_sentences(profile.first_message or "") if not sentence.endswith("?")]
    name = brief.persona.name or profile.name
    reason = brief.purpose or tuple(sentence for sentence in stated if name not in sentence)
    return " ".join((f"This is {brief.persona.introduction}.", *(reason or (NO_REASON,))))
