"""The gateway's route table against the endpoints that the services declare."""

import pytest

from auth_service.app import ROUTERS as AUTH
from call_service.app import ROUTERS as CALL
from gateway.paths import segments_of
from gateway.routes import ROUTES, RouteTable
from project_service.app import ROUTERS as PROJECT
from shared.endpoints import Endpoint

TABLE = RouteTable(ROUTES)
ENDPOINTS = [
    (service, endpoint)
    for service, routers in {"auth": AUTH, "project": PROJECT, "call": CALL}.items()
    for router in routers
    for endpoint in router.endpoints
]


def _segments(endpoint: Endpoint) -> tuple[str, ...]:
    return segments_of(endpoint.path.replace("{", "").replace("}", ""))


def _name(value: object) -> str:
    return f"{value.method} {value.path}" if isinstance(value, Endpoint) else str(value)


@pytest.mark.parametrize(("service", "endpoint"), ENDPOINTS, ids=_name)
def test_each_endpoint_is_routed_to_its_service_with_its_credentials(service: str, endpoint: Endpoint) -> None:
    route = TABLE.match(_segments(endpoint))
    if endpoint.auth == "internal":
        assert route is None
    else:
        assert route is not None
        assert route.service == service
        assert (route.auth == "none") is (endpoint.auth == "none")
        assert route.is_stream >= endpoint.by_stream_token


def test_each_route_leads_to_an_endpoint() -> None:
    """Two led to a service that answered 404, with and without credentials."""
    used = {TABLE.match(_segments(endpoint)) for _, endpoint in ENDPOINTS if endpoint.auth != "internal"}
    assert set(ROUTES) <= used
