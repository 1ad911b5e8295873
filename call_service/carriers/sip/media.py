"""How offers and answers move the audio of a call (RFC 3264), with the keys of its encryption (RFC 4568)."""

from collections.abc import Callable
from typing import Protocol

from call_service.carriers.rtp import (
    CryptoLine,
    Direction,
    MediaStats,
    NoCommonCryptoError,
    SrtpKeys,
    choose_crypto,
    generate_crypto,
)
from call_service.carriers.sip.sdp import (
    DTMF_PAYLOAD_TYPE,
    MIRRORED,
    NOWHERE,
    PLAIN,
    SECURE,
    Agreed,
    LocalMedia,
    Media,
    NotAcceptableError,
    SrtpPolicy,
    choose,
    parse_sdp,
)
from call_service.carriers.sip.syntax import SipSyntaxError


class MediaSession(Protocol):
    """What a call needs of an `RtpSession`; that documents it."""

    local_port: int

    @property
    def queued_ms(self) -> int: ...

    @property
    def can_send_dtmf(self) -> bool: ...

    def start(
        self,
        remote: tuple[str, int],
        codec: str,
        payload_type: int,
        dtmf_payload_type: int | None,
        *,
        offered_dtmf_payload_type: int | None = None,
        srtp: SrtpKeys | None = None,
    ) -> None: ...

    def set_direction(self, direction: Direction) -> None: ...

    def on_audio(self, listener: Callable[[bytes], None]) -> None: ...

    def on_played_frame(self, listener: Callable[[bytes], None]) -> None: ...

    def on_dtmf(self, listener: Callable[[str], None]) -> None: ...

    def on_lost(self, listener: Callable[[], None]) -> None: ...

    def on_failed(self, listener: Callable[[], None]) -> None: ...

    def watch_anew(self) -> None: ...

    def play(self, pcm: bytes) -> None: ...

    def clear(self) -> int: ...

    def mark(self, on_played: Callable[[], None]) -> None: ...

    async def send_dtmf(self, digits: str, key_ms: int) -> None: ...

    def stats(self) -> MediaStats: ...

    async def close(self) -> None: ...


class Negotiator:
    """Offers and answers of one call. Both directions: either side may offer at any time.

    A peer that wants the audio at an address that `may_reach` denies is refused: it could be a host of ours.
    """

    def __init__(
        self,
        media: MediaSession,
        host: str,
        policy: SrtpPolicy,
        session_id: int,
        may_reach: Callable[[str], bool] = lambda _address: True,
    ) -> None:
        self.is_holding = False
        self.agreed: Agreed | None = None
        self._media = media
        self._policy = policy
        self._may_reach = may_reach
        self._local = LocalMedia(host, media.local_port, session_id, version=0)
        # For the whole call: a new key is due from who moves (RFC 4568, 7.1.4), and we stay where we are. With one that
        # comes unasked, peers keep their roll-over counter (RFC 3711, 3.3.1) while that of libsrtp starts again.
        self._cryptos = tuple(generate_crypto()) if policy != "off" else ()

    @property
    def is_held_by_peer(self) -> bool:
        """The peer does not want to hear us."""
        return self.agreed is not None and self.agreed.remote.direction in {"sendonly", "inactive"}

    def offer(self) -> bytes:
        """What we want: `is_holding` says whether to hear the peer."""
        self._local = self._local.next("sendonly" if self.is_holding else "sendrecv")
        return self._local.offer(SECURE if self._policy == "required" else PLAIN, self._cryptos)

    def take_answer(self, body: bytes) -> None:
        """The answer to our offer.

        Raises:
            NotAcceptableError: it is none we can live with.
        """
        self._agree(self._parse(body)[:1], is_answer=True)

    def answer(self, body: bytes) -> bytes:
        """The answer to an offer.

        Raises:
            NotAcceptableError: nothing in it suits us.
        """
        offered = self._parse(body)
        agreed = self._agree(offered, is_answer=False)
        return self._local.answer(offered, agreed)

    @staticmethod
    def _parse(body: bytes) -> list[Media]:
        try:
            return parse_sdp(body)
        except SipSyntaxError as error:
            raise NotAcceptableError from error

    def _agree(self, media: list[Media], *, is_answer: bool) -> Agreed:
        remote = choose(media, self._policy)
        if remote.host != NOWHERE and not self._may_reach(remote.host):
            raise NotAcceptableError
        codec = remote.shared_codec()
        assert codec
        agreed = Agreed(remote, codec, *self._match_keys(remote, is_answer=is_answer))
        direction = MIRRORED[remote.direction]
        if self.is_holding:
            direction = "sendonly" if direction in {"sendrecv", "sendonly"} else "inactive"
        if remote.host != NOWHERE:
            self._media.start(
                (remote.host, remote.port),
                codec,
                agreed.payload_type,
                agreed.dtmf_payload_type,
                offered_dtmf_payload_type=DTMF_PAYLOAD_TYPE if is_answer else None,
                srtp=agreed.keys,
            )
        self._media.set_direction(direction)
        if not is_answer:
            self._local = self._local.next(direction)
        self.agreed = agreed
        return agreed

    def _match_keys(self, remote: Media, *, is_answer: bool) -> tuple[CryptoLine | None, SrtpKeys | None]:
        try:
            return choose_crypto(self._cryptos, remote.cryptos, is_answer=is_answer)
        except NoCommonCryptoError as error:
            if remote.profile.startswith(SECURE) or self._policy == "required":
                raise NotAcceptableError from error
            return None, None
