"""What a SIP status means for a call (RFC 3261, 21; RFC 8197, RFC 8688 for 607 and 608)."""

from call_service.carriers.port import Cause, Ended

_BY_STATUS = {
    **dict.fromkeys((486, 600), Cause.BUSY),
    **dict.fromkeys((408, 480, 487), Cause.NO_ANSWER),
    **dict.fromkeys((603, 607, 608), Cause.DECLINED),
    **dict.fromkeys((404, 410, 484, 485, 604), Cause.INVALID_NUMBER),
    **dict.fromkeys((401, 407), Cause.CARRIER_AUTH_FAILED),
}


def ended_by(status: int) -> Ended:
    """The end of an attempt that was answered with `status` of 300 or more."""
    return Ended(_BY_STATUS.get(status, Cause.CARRIER_REJECTED), status)
