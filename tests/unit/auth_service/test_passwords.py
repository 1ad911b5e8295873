"""Passwords: which are refused, and how they are hashed."""

import asyncio
import threading

import pytest

from auth_service.passwords.hasher import HasherBusyError, PasswordHasher
from auth_service.passwords.policy import is_guessable, load_common_passwords

ACCOUNT = ("ada.lovelace@example.com", "Ada Lovelace", load_common_passwords())


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PASSWORD",
        "12345678",
        "qwertyuiop",
        "trustno1",
        "aaaaaaaaaaaa",
        "abababababab",
        "ada.lovelace@example.com",
        "Ada Lovelace",
        "adalovelace",
        "ada.lovelace1815!",
        "Talkstack2026!",
        "!?!?!?!?",
    ],
)
def test_guessable_passwords_are_refused(password: str) -> None:
    assert is_guessable(password, *ACCOUNT)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "tr0ub4dor&3x", "пароль никому", "zkq8wbhv", "passwort-für-uns", "8462951730"]
)
def test_others_are_not(password: str) -> None:
    assert not is_guessable(password, *ACCOUNT)


def test_the_list_is_long_enough_and_fits_the_length_rule() -> None:
    """OWASP ASVS 5.0, 6.2.4: at least the 3000 most common ones that fit the policy."""
    common = load_common_passwords()
    assert len(common) >= 3000
    assert all(len(password) >= 8 and password == password.casefold() for password in common)


async def test_a_hash_verifies_its_password_only() -> None:
    hasher = PasswordHasher(threads=1, queue=4)
    digest = await hasher.hash("correct horse")
    assert await hasher.verify(digest, "correct horse")
    assert not await hasher.verify(digest, "incorrect horse")
    assert not hasher.is_outdated(digest)
    assert hasher.is_outdated(digest.replace("t=2", "t=1"))
    hasher.close()


async def test_nobody_has_a_password() -> None:
    hasher = PasswordHasher(threads=1, queue=4)
    assert not await hasher.verify(None, "the password of nobody")
    hasher.close()


async def test_one_password_may_be_typed_with_different_keyboards() -> None:
    hasher = PasswordHasher(threads=1, queue=4)
    assert await hasher.verify(await hasher.hash("pässwörter"), "pa\u0308sswo\u0308rter")
    hasher.close()


async def test_the_queue_is_bounded_and_recovers() -> None:
    hasher, held = PasswordHasher(threads=1, queue=1), threading.Event()
    waiting = [asyncio.ensure_future(hasher._run(held.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HasherBusyError) as caught:
        await hasher.hash("correct horse")
    assert caught.value.headers["Retry-After"] == "1"
    held.set()
    await asyncio.gather(*waiting)
    assert (await hasher.hash("correct horse")).startswith("$argon2id$")
    hasher.close()


async def test_a_caller_that_goes_away_does_not_make_room_before_its_thread_is_free() -> None:
    hasher, held = PasswordHasher(threads=1, queue=0), threading.Event()
    waiting = asyncio.ensure_future(hasher._run(held.wait))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    with pytest.raises(HasherBusyError):
        await hasher.hash("correct horse")
    held.set()
    hasher.close()
