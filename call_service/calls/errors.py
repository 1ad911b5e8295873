"""What can go wrong with a request about a call."""

from shared.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)


class CallNotFoundError(NotFoundError):
    """There is no call with this id."""

    code = "call_not_found"


class RecordingNotFoundError(NotFoundError):
    """This call has no recording."""

    code = "recording_not_found"


class ProjectNotFoundError(NotFoundError):
    """There is no project with this id."""

    code = "project_not_found"


class AgentNotFoundError(NotFoundError):
    """There is no agent with this id in this project."""

    code = "agent_not_found"


class PhoneNumberUnknownError(NotFoundError):
    """There is no such phone number."""

    code = "phone_number_not_found"


class ActiveAgentNotSetError(NotFoundError):
    """The project has no active agent; name one with agentId."""

    code = "active_agent_not_set"


class NoPhoneNumberError(ConflictError):
    """Neither the agent nor the project has a phone number to call from; add one with POST /phone-number/add-number."""

    code = "no_phone_number"


class OnDoNotCallListError(ConflictError):
    """This number is on your do-not-call list."""

    code = "do_not_call"


class TestsNotPassedError(ConflictError):
    """No version of the agent has passed the tests it requires; play them with POST /agent/{agentId}/test."""

    code = "tests_not_passed"


class ProviderKeyMissingError(ConflictError):
    """The project lacks a key that the agent's providers need; set it with PUT /project/{projectId}/provider-keys."""

    code = "provider_key_missing"


class VariableMissingError(InvalidRequestError):
    """The agent's instructions have a placeholder that dynamicVariables does not fill."""

    code = "variable_missing"

    def __init__(self, names: list[str] | None = None) -> None:
        listed = [
            FieldError(f"dynamicVariables.{name}", "missing", "This variable is required.") for name in names or []
        ]
        message = f"dynamicVariables lacks: {', '.join(names)}." if names else None
        super().__init__(message, errors=listed)


class CallNotEndedError(ConflictError):
    """The call has not ended yet."""

    code = "call_not_ended"


class CallEndedError(ConflictError):
    """The call has ended already."""

    code = "call_ended"


class CallAnsweredError(ConflictError):
    """The call was answered; end it with POST /call/{call_id}/end."""

    code = "call_answered"


class CallNotInProgressError(ConflictError):
    """The call is not answered yet; cancel it with POST /call/{call_id}/cancel."""

    code = "call_not_in_progress"


class CommandNotFoundError(NotFoundError):
    """This call has no command with this id."""

    code = "command_not_found"


class TooManyCommandsError(ConflictError):
    """Too many commands to this call wait already."""

    code = "too_many_commands"


class TransferNotAllowedError(ForbiddenError):
    """The agent may transfer calls only to its transferNumbers."""

    code = "transfer_not_allowed"


class CancelUnconfirmedError(UnavailableError):
    """Whoever dials this call has not confirmed in time. The request stands; ask again to learn what came of it."""

    code = "cancel_unconfirmed"


class CallNotAnsweredError(ConflictError):
    """The call was never answered, so there is nothing to analyse."""

    code = "call_not_answered"
