"""Whether the tools of an agent can be used as they are set: what no single field can tell."""

from collections.abc import Sequence

from project_service.agents.settings import AgentSettings
from project_service.agents.tools import HttpTool, Tool, TransferTool
from shared.endpoints import invalid_request
from shared.errors import FieldError
from shared.http_client import InvalidUrlError, check_url


async def check_urls(tools: Sequence[Tool], *, allow_private: bool) -> None:
    """Raises InvalidRequestError: a URL leads into a private network. Asks name servers."""
    for place, tool in enumerate(tools):
        if isinstance(tool, HttpTool):
            try:
                await check_url(tool.url, allow_private)
            except InvalidUrlError as error:
                raise invalid_request([FieldError(f"tools.{place}.url", error.code, error.message)]) from None


def check_numbers(settings: AgentSettings) -> None:
    """Raises InvalidRequestError: there is nobody to transfer to."""
    if not settings.transfer_numbers and any(isinstance(tool, TransferTool) for tool in settings.tools):
        raise invalid_request([FieldError("transferNumbers", "missing", "A transfer tool needs at least one number.")])
