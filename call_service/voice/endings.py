"""How calls end: the outcomes that a session decides, and those that its leg does."""

from call_service.carriers.port import Cause, Ended
from call_service.voice.options import Outcome

TRANSFERRED = Outcome("completed", Cause.TRANSFERRED)
VOICEMAIL = Outcome("voicemail", "voicemail_detected")
BROKEN = Outcome("failed", "internal_error", "platform")
SCREENING = Outcome("completed", "screening_detected")
IVR = Outcome("completed", "ivr_detected")
SILENCE = Outcome("silence", "silence_timeout", "callee")
TOO_LONG = Outcome("completed", "max_duration")
HUNG_UP = Outcome("completed", "agent_hung_up")


def engine_failure(stage: str) -> Outcome:
    """An engine of this stage failed, and so did those that could have taken over."""
    return Outcome("failed", f"{stage}_failed", "provider")


def outcome_of_leg(end: Ended | None) -> Outcome:
    """Nobody decided but the leg; without an end it stopped delivering frames."""
    cause = end.cause if end else Cause.MEDIA_LOST
    return Outcome("failed", cause, "carrier") if cause == Cause.MEDIA_LOST else Outcome("completed", cause)
