"""What can go wrong with a request about SIP messages."""

from shared.errors import NotFoundError


class SipMessagesNotFoundError(NotFoundError):
    """This call has no SIP messages: its carrier does not speak SIP, or its worker was lost."""

    code = "sip_messages_not_found"
