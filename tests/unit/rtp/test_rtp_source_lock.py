"""Whose packets are played."""

from call_service.carriers.rtp.source import Address, SourceLock

SIGNALLED = ("192.0.2.1", 4_000)
BEHIND_NAT = ("198.51.100.7", 61_234)
STRANGER = ("203.0.113.9", 5_000)


def talk(lock: SourceLock, address: Address, packets: int, *, ssrc: int = 1, first: int = 0) -> list[bool]:
    return [lock.accepts(address, ssrc, (first + n) % 65_536) for n in range(packets)]


def test_the_signalled_address_is_believed_at_once() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    assert lock.destination == SIGNALLED
    assert talk(lock, SIGNALLED, 3) == [True, True, True]


def test_a_nat_is_followed_after_three_packets_in_sequence() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    assert talk(lock, BEHIND_NAT, 4, first=65_534) == [False, False, True, True]
    assert lock.destination == BEHIND_NAT


def test_scattered_packets_do_not_get_the_lock() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    assert not any(lock.accepts(STRANGER, 1, sequence) for sequence in (5, 9, 13, 14, 99))
    assert lock.destination == SIGNALLED


def test_two_candidates_disturb_each_other() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    for number in range(10):
        assert not lock.accepts(STRANGER, 1, number)
        assert not lock.accepts(BEHIND_NAT, 2, number)


def test_who_has_the_lock_keeps_it() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    talk(lock, BEHIND_NAT, 5)
    assert not any(talk(lock, STRANGER, 50, ssrc=2))
    assert talk(lock, BEHIND_NAT, 2, first=5) == [True, True]


def test_the_signalled_address_takes_the_lock_from_a_stranger() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    talk(lock, STRANGER, 5)
    assert talk(lock, SIGNALLED, 4, ssrc=2) == [False, False, True, True]
    assert not any(talk(lock, STRANGER, 10, first=5))


def test_the_same_stream_may_move() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    talk(lock, BEHIND_NAT, 5)
    moved = (BEHIND_NAT[0], 61_299)
    assert talk(lock, moved, 4, first=5) == [False, False, True, True]
    assert lock.destination == moved


def test_the_peer_may_begin_another_stream() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True)
    talk(lock, SIGNALLED, 5)
    assert talk(lock, SIGNALLED, 4, ssrc=2, first=900) == [False, False, True, True]


def test_without_symmetric_only_the_signalled_address_counts() -> None:
    lock = SourceLock(SIGNALLED, symmetric=False)
    assert not any(talk(lock, BEHIND_NAT, 10))
    assert talk(lock, SIGNALLED, 1) == [True]


def test_an_authenticated_stream_is_believed_anywhere() -> None:
    lock = SourceLock(SIGNALLED, symmetric=True, authenticated=True)
    assert talk(lock, BEHIND_NAT, 1) == [True]
    assert talk(lock, STRANGER, 3, ssrc=2) == [False, False, True]
