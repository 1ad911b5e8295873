"""What every use case of this service works with."""

from dataclasses import dataclass

from auth_service.keys.service import KeyRing
from auth_service.mail.service import MailQueue
from auth_service.passwords.hasher import PasswordHasher
from auth_service.settings import AuthSettings
from shared.clock import Clock
from shared.db import Database
from shared.secret_box import SecretBox

SOURCE = "auth_service"


@dataclass(frozen=True, slots=True)
class Resources:
    """Made once for a process. `secrets` hashes addresses and codes."""

    settings: AuthSettings
    db: Database
    clock: Clock
    mail: MailQueue
    secrets: SecretBox
    passwords: PasswordHasher
    keys: KeyRing
