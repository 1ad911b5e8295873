"""Two people talk with each other over two legs."""

from collections.abc import Callable

from call_service.carriers.port import Leg

MAX_QUEUED_MS = 200


def bridge(leg: Leg, other: Leg, is_joined: Callable[[], bool]) -> Callable[[bytes], None]:
    """Play on `leg` what comes from `other` while `is_joined`; returns what is to be called with the frames of `leg`.

    What a stall of one has piled up is dropped, so that people do not talk with a delay.
    """

    def pass_on(frame: bytes, to: Leg) -> None:
        if to.queued_ms < MAX_QUEUED_MS:
            to.play(frame)

    other.on_audio(lambda frame: pass_on(frame, leg) if is_joined() else None)
    return lambda frame: pass_on(frame, other)
