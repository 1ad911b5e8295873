"""What a session measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaStats:
    """Counts since the session began. `None`: nothing was reported yet.

    `late` packets came after the time they were to be played; `concealed_ms` was made up where no audio came, also
    where the peer paused sending (up to 60 ms a pause); `refused` ones were of a foreign source, forged or
    malformed; `remote_lost` is what the peer misses of our stream.
    """

    packets_sent: int
    packets_received: int
    lost: int
    late: int
    refused: int
    jitter_ms: float
    concealed_ms: int
    round_trip_ms: float | None
    remote_lost: int | None
    remote_jitter_ms: float | None
