"""Asks project_service about projects."""

from http import HTTPStatus

import aiohttp
from pydantic import ValidationError

from auth_service.projects.schemas import ProjectData
from shared import tokens
from shared.errors import BadGatewayError, UnavailableError
from shared.ids import is_id
from shared.request_ids import REQUEST_ID
from shared.tokens import InternalTokens, Principal

TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)


class ProjectClient:
    """`GET /internal/projects/{id}` in the name of a user."""

    def __init__(self, session: aiohttp.ClientSession, url: str, internal_tokens: InternalTokens) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._tokens = internal_tokens

    async def get(self, user_id: str, project_id: str, request_id: str) -> ProjectData | None:
        """The project, None when there is none or it is somebody else's.

        Raises:
            UnavailableError: project_service can't be reached.
            BadGatewayError: it gave no usable answer.
        """
        if not is_id(project_id):  # which also keeps it from leading elsewhere than into this path
            return None
        headers = {tokens.HEADER: self._tokens.sign(Principal(user_id, "service")), REQUEST_ID: request_id}
        url = f"{self._url}/internal/projects/{project_id}"
        try:
            async with self._session.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError from error
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise BadGatewayError
        try:
            return ProjectData.model_validate_json(body)
        except ValidationError as error:
            raise BadGatewayError from error
