"""The brain: a language model where there is one, the built-in brain where there is none."""

from call_service.llm import LlmClient, LlmSettings
from call_service.voice.brain.builtin import BuiltinBrain
from call_service.voice.brain.llm import LlmBrain
from call_service.voice.ports import Brain

__all__ = ["BuiltinBrain", "LlmBrain", "build_brain"]


def build_brain(llm: LlmSettings | None) -> Brain:
    """The brain that the settings ask for."""
    return LlmBrain(LlmClient(llm)) if llm else BuiltinBrain()
