"""What can go wrong with a request about a trunk."""

from shared.errors import ConflictError, NotFoundError, UnprocessableError


class TrunkNotFoundError(NotFoundError):
    """There is no trunk with this id."""

    code = "trunk_not_found"


class TrunkTestNotFoundError(NotFoundError):
    """There is no test with this id; tests are kept for a day."""

    code = "trunk_test_not_found"


class TrunkNameTakenError(ConflictError):
    """Another trunk has this name."""

    code = "trunk_name_taken"


class TrunkUsernameTakenError(ConflictError):
    """Another trunk proves itself by digest with this user name, so calls could not be told apart."""

    code = "trunk_username_taken"


class TooManyTrunksError(ConflictError):
    """A user may have a hundred trunks; delete one."""

    code = "too_many_trunks"


class NumberOfOtherTrunkError(ConflictError):
    """A number can belong to one trunk only."""

    code = "number_of_other_trunk"


class TrunkInUseError(ConflictError):
    """Calls wait to be dialled through this trunk; cancel them, or wait until they were."""

    code = "trunk_in_use"


class TrunkTestRunningError(ConflictError):
    """A test of this trunk is running."""

    code = "trunk_test_running"


class InvalidHostError(UnprocessableError):
    """This host can't be a trunk."""

    code = "invalid_host"


class CallerUnknownError(UnprocessableError):
    """A test call comes from one of the trunk's own numbers."""

    code = "caller_unknown"
