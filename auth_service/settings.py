"""What the environment decides about this service."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from shared.settings import ServiceSettings

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+[^\s]*$")]


class AuthSettings(ServiceSettings):
    """Settings of auth_service."""

    database_schema: str = Field("auth", description="Postgres schema that this service owns.")
    encryption_key: SecretStr = Field(
        min_length=32,
        description="Protects signing keys and queued mail at rest and keys the hashes of codes; several, separated by "
        "commas, while it is changed (the first one encrypts).",
    )
    public_url: Url = Field("http://127.0.0.1:8080", description="Where clients reach the API.")
    token_issuer: str = Field("talkstack", description="`iss` of the access tokens.")
    token_audience: str = Field("talkstack-api", description="`aud` of the access tokens.")
    project_url: Url = Field("http://127.0.0.1:8082", description="Address of project_service.")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:587 (STARTTLS) or smtps://…:465; without one, mail goes to files."
    )
    mail_dir: Path = Field(Path("var/mail"), description="Where mail is written as .eml files without SMTP_URL.")
    mail_from: str = Field("Talkstack <no-reply@localhost>", description="Sender of the mails.")
    reset_password_url: Url | None = Field(
        None, description="Page of a console that takes ?token=…; without one, the mail explains the API call."
    )
    auth_reveal_accounts: bool = Field(
        default=False, description="Answer 404 for unknown e-mail addresses, as the reference does."
    )
    password_hash_threads: int = Field(
        1, ge=1, le=64, description="Password hashes at a time; each takes 19 MiB, which the process keeps."
    )
    password_hash_queue: int = Field(64, ge=0, description="Password hashes that may wait; more are refused with 503.")
    refresh_days: int = Field(30, ge=1, description="A session unused for so long has to log in again.")
    session_days: int = Field(180, ge=1, description="A session older than this has to log in again.")
    signing_key_days: int = Field(30, ge=1, description="How long one key signs access tokens.")
    audit_days: int = Field(365, ge=1, description="How long audit entries are kept.")
