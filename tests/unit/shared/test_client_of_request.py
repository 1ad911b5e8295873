"""What is kept about the caller."""

import pytest
from aiohttp.test_utils import make_mocked_request

from shared.client import Client, client_of


def test_the_gateways_word_and_the_program_are_kept_shortened() -> None:
    headers = {"X-Client-IP": "198.51.100.7", "User-Agent": "x" * 1000}
    client = client_of(make_mocked_request("GET", "/", headers=headers))
    assert client == Client("198.51.100.7", "x" * 256)
    assert client_of(make_mocked_request("GET", "/")) == Client("", "")


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_an_ipv6_customer_has_a_whole_network(ip: str, network: str) -> None:
    assert Client(ip, "").network == network
