"""The brain: a language model where there is one, the built-in brain where there is none."""

from call_service.llm import LlmClient
from call_service.voice.brain.builtin import BuiltinBrain
from call_service.voice.brain.llm import LlmBrain
from call_service.voice.ports import Brain

__all__ = ["BuiltinBrain", "LlmBrain", "build_brain"]


def build_brain(llm: LlmClient | None) -> Brain:
    """A brain on a language model, which it closes with itself; the built-in one without."""
    return LlmBrain(llm) if llm else BuiltinBrain()
