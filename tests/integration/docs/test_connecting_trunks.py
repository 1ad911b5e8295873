"""The guide for trunks: the API takes its bodies, its files parse, and calls go through its Kamailio."""

import configparser
import ipaddress
import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest

from call_service.carriers.port import Answered, Cause, Ended
from call_service.carriers.sip import Listener, Trunk
from call_service.carriers.sip.causes import ended_by
from call_service.settings import WorkerSettings
from call_service.trunks.schemas import TrunkBody
from tests.integration.sip.conftest import Call, MakePhone, make_phone, sipp, trunk
from tests.support.sip_peers import LOOPBACK, Sipp, free_port, listens, running

__all__ = ["make_phone", "sipp"]

PAGE = (Path(__file__).parents[3] / "docs" / "connecting-trunks.md").read_text()
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VENDORS = ["twilio", "telnyx", "asterisk", "freeswitch", "kamailio"]


def blocks(kind: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for language, name, text in BLOCK.findall(PAGE):
        if language == kind:
            found[name].append(text)
    return found


def bodies() -> dict[str, dict[str, Any]]:
    return {body["name"]: body for body in map(orjson.loads, blocks("json")["trunk"])}


def test_every_system_of_the_guide_has_a_body() -> None:
    assert list(bodies()) == VENDORS


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_body_is_one_that_the_api_and_the_user_agent_take(vendor: str) -> None:
    body = TrunkBody.model_validate(bodies()[vendor])
    used = Trunk.model_validate(
        {
            "name": body.name,
            "host": body.host,
            "port": body.port,
            "transport": body.transport,
            "srtp": body.srtp,
            "username": body.username,
            "password": body.password or "",
            "registers": body.registers,
            "inbound": body.inbound,
            "source_networks": body.allowed_addresses,
            "calls_per_second": body.calls_per_second,
            "max_calls": body.max_concurrent,
            "caller_ids": body.numbers,
        }
    )
    assert used.caller_ids
    assert all(ipaddress.ip_network(network).prefixlen >= 30 for network in body.allowed_addresses)


def test_the_files_of_asterisk_and_freeswitch_parse_and_fit_their_bodies() -> None:
    [pjsip] = blocks("ini")["pjsip.conf"]
    sections = [section.strip() for section in re.split(r"^(?=\[)", pjsip, flags=re.MULTILINE) if section.strip()]
    found: dict[str, configparser.SectionProxy] = {}
    for section in sections:
        parser = configparser.ConfigParser()
        parser.read_string(section)
        [name] = parser.sections()
        found[parser[name]["type"]] = parser[name]
    asterisk, auth = bodies()["asterisk"], found["auth"]
    assert (auth["username"], auth["password"]) == (asterisk["username"], asterisk["password"])
    assert found["identify"]["match"] in found["aor"]["contact"]
    assert found["endpoint"]["dtmf_mode"] == "rfc4733"
    assert asterisk["numbers"][0] in blocks("ini")["extensions.conf"][0]
    files = {name: ET.fromstring(text) for name, (text,) in blocks("xml").items()}
    gateway = files["sip_profiles/external/talkstack.xml"].find("gateway")
    assert gateway is not None
    number = bodies()["freeswitch"]["numbers"][0]
    actions = [action.get("data", "") for action in files["dialplan/public/talkstack.xml"].iter("action")]
    assert f"sofia/gateway/{gateway.get('name')}/{number}" in actions


def test_the_reasons_in_the_table_are_those_of_the_codes() -> None:
    table = PAGE.partition("## When a call fails")[2]
    rows = re.findall(r"^\| ([\d, ]+) \(`(\w+)`\)", table, re.MULTILINE)
    assert len(rows) >= 8
    for codes, reason in rows:
        for code in map(int, re.findall(r"\d{3}", codes)):
            assert ended_by(code).cause == reason, code
    assert {*re.findall(r"`([a-z]+_[a-z_]+)`", table)} >= {
        Cause.CARRIER_UNREACHABLE,
        Cause.MEDIA_LOST,
        Cause.TRUNK_BUSY,
    }


def test_settings_of_the_guide_exist_with_the_defaults_it_tells() -> None:
    named = set(re.findall(r"`((?:SIP|RTP|TRUNK)_[A-Z_]+)", PAGE))
    assert named >= {"SIP_ADDRESS", "SIP_ADVERTISED_ADDRESS", "RTP_FIRST_PORT", "TRUNK_ALLOW_PRIVATE"}
    assert {name.lower() for name in named} <= WorkerSettings.model_fields.keys()
    for name, value in re.findall(r"`((?:SIP|RTP)_[A-Z_]+)` \((\d+)\)", PAGE):
        assert WorkerSettings.model_fields[name.lower()].default == int(value)


def kamailio_config(port: int, worker: int, provider: int) -> str:
    """The guide's file between other addresses: both sides are on loopback, each at one of its own."""
    [text] = blocks("kamailio")["kamailio.cfg"]
    for told, ours in {
        "192.0.2.20:5060": f"{LOOPBACK}:{port}",
        "192.0.2.10:5060": f"127.0.0.2:{worker}",
        "198.51.100.7:5060": f"{LOOPBACK}:{provider}",
        "192.0.2.10": "127.0.0.2",
        "198.51.100.7": LOOPBACK,
    }.items():
        assert told in text
        text = text.replace(told, ours)
    return text


async def test_the_kamailio_file_is_valid(tmp_path: Path) -> None:
    config = tmp_path / "kamailio.cfg"
    config.write_text(blocks("kamailio")["kamailio.cfg"][0])
    async with running(["kamailio", "-c", "-f", str(config)], tmp_path / "check.log") as check:
        assert await check.ends() == 0, check.output
        assert "config file ok" in check.output


async def test_calls_go_both_ways_through_the_kamailio_of_the_guide(
    make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    port, worker, provider = free_port(), free_port(), free_port()
    config = tmp_path / "kamailio.cfg"
    config.write_text(kamailio_config(port, worker, provider))
    command = ["kamailio", "-DD", "-f", str(config), "-Y", str(tmp_path), "-w", str(tmp_path), "-m", "32", "-M", "4"]
    async with running([*command, "-P", str(tmp_path / "pid")], tmp_path / "kamailio.log", tmp_path) as proxy:
        await listens(port, proxy)
        phone = await make_phone(trunk(port), listeners=(Listener("UDP", "127.0.0.2", worker),))
        async with sipp.run("uas_answer", provider):
            call = await phone.dial_answered("+12025550100")
            await call.leg.hang_up()
        remote = (LOOPBACK, port)
        async with sipp.run("uac_talk", provider, "-s", "+12025550195", "-d", "300", remote=remote):
            invited = await phone.invited()
            assert invited.to == "+12025550195"
            call = Call(invited.answer())
            await call.sees(Answered())
            assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
