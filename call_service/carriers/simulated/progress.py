"""What happens between dialling and the answer: pure, as a timetable."""

from dataclasses import dataclass
from datetime import timedelta

from call_service.carriers.port import Answered, Cause, Ended, LegEvent, Ringing
from call_service.carriers.scripts import Script

BUSY = Ended(Cause.BUSY, 486)
CANCELLED = Ended(Cause.LOCAL_HANG_UP, 487)
DECLINED = Ended(Cause.DECLINED, 603)
NO_ANSWER = Ended(Cause.NO_ANSWER, 487)
NOT_FOUND = Ended(Cause.INVALID_NUMBER, 404)


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast the network and its people are."""

    set_up: timedelta = timedelta(milliseconds=300)
    ringing: timedelta = timedelta(milliseconds=1200)


def call_progress(script: Script, timing: Timing, ring_timeout: timedelta) -> list[tuple[timedelta, LegEvent]]:
    """Events with the time since dialling; the last one answers or ends the attempt. SIP codes as RFC 3261, 21.4."""
    if script.outcome == "busy":
        return [(timing.set_up, BUSY)]
    if script.outcome == "does_not_exist":
        return [(timing.set_up, NOT_FOUND)]
    ringing = (timing.set_up, Ringing())
    picked_up = timing.ringing if script.answer_after_ms is None else timedelta(milliseconds=script.answer_after_ms)
    if script.outcome == "never_answers" or picked_up >= ring_timeout:
        return [ringing, (timing.set_up + ring_timeout, NO_ANSWER)]
    return [ringing, (timing.set_up + picked_up, DECLINED if script.outcome == "declines" else Answered())]
