import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http_client import InvalidUrlError, is_public, parse_url


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1",
        "64:ff9b::808:808", "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "localhost", "", "0x7f.1",
    ],
)  # fmt: skip
def test_addresses_inside_or_of_nobody_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_address_it_holds(address: ipaddress.IPv4Address) -> None:
    assert is_public(f"::ffff:{address}") is is_public(str(address))


@given(
    st.ip_addresses(v=4),
    st.sampled_from(["64:ff9b::{high:x}:{low:x}", "2002:{high:x}:{low:x}::", "::{high:x}:{low:x}"]),
)
def test_no_address_gets_through_inside_an_ipv6_transition_format(address: ipaddress.IPv4Address, form: str) -> None:
    high, low = divmod(int(address), 1 << 16)
    assert not is_public(form.format(high=high, low=low))


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://example.com/hook", "https://"),
        ("ftp://example.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("example.com/hook", "https://"),
        ("", "https://"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://user:secret@example.com/", "user name"),
        ("https://user@example.com/", "user name"),
        ("https://example.com:99999/", "not a URL"),
        ("https://exa mple.com:port/", "not a URL"),
        ("https://example.com/" + "x" * 2048, "2048"),
        ("https://0x7f.1/", "decimal"),
        ("https://0x7f000001/", "decimal"),
        ("https://2130706433/", "decimal"),
        ("https://127.1/", "decimal"),
        ("https://0177.0.0.1/", "decimal"),
        ("https://0/", "decimal"),
        ("https://127.0.0.1./", "decimal"),
        ("https://1.1.1.1.1/", "decimal"),
    ],
)
def test_urls_that_cannot_be_called_are_refused_with_the_reason(url: str, hint: str) -> None:
    with pytest.raises(InvalidUrlError, match=hint):
        parse_url(url)


def test_http_is_for_private_use() -> None:
    assert str(parse_url("http://127.0.0.1:9000/hook", allow_private=True)) == "http://127.0.0.1:9000/hook"
    assert parse_url("https://example.com/hook?x=1").host == "example.com"


@pytest.mark.parametrize("host", ["1.1.1.1", "[2606:4700:4700::1111]", "1.example", "3com.com", "münchen.de"])
def test_hosts_that_are_fine(host: str) -> None:
    assert parse_url(f"https://{host}/").scheme == "https"


@given(st.text(max_size=60))
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com{text}"):
        try:
            parsed = parse_url(url)
        except InvalidUrlError:
            continue
        assert parsed.scheme == "https"
        assert parsed.host
