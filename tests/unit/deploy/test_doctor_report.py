"""How findings are made, ordered, and told."""

import asyncio
import io
import json

import pytest
from rich.console import Console

from deploy.doctor.hops import BrokenError, Finding, Hop, SkippedError, examine
from deploy.doctor.report import as_json, conclusion, show
from deploy.doctor.site import site_of_environment
from deploy.doctor.trunks import hint_for


async def fine() -> str:
    return "all is well"


async def broken() -> str:
    raise BrokenError("it is down", "start it")


async def unknown() -> str:
    raise SkippedError("nobody told")


async def wrong() -> str:
    raise KeyError("surprise")


async def silent() -> str:
    await asyncio.Event().wait()
    return ""


async def examined(*hops: Hop) -> list[tuple[str, str, str]]:
    return [(found.hop, found.state, found.detail) async for found in examine(hops)]


async def test_whatever_a_hop_does_is_a_finding_and_the_next_is_asked() -> None:
    hops = [
        Hop("a", fine),
        Hop("b", broken),
        Hop("c", unknown),
        Hop("d", wrong),
        Hop("e", silent, 0.01),
        Hop("f", fine),
    ]
    assert await examined(*hops) == [
        ("a", "ok", "all is well"),
        ("b", "broken", "it is down"),
        ("c", "skipped", "nobody told"),
        ("d", "broken", "KeyError: 'surprise'"),
        ("e", "broken", "no answer in 0.01 s"),
        ("f", "ok", "all is well"),
    ]


async def test_what_needs_a_broken_hop_is_not_asked() -> None:
    told = await examined(Hop("a", broken), Hop("b", wrong, needs=("a",)), Hop("c", fine, needs=("b",)))
    assert told[1:] == [("b", "skipped", "needs a"), ("c", "ok", "all is well")]


def test_the_first_broken_hop_is_the_one_to_mend() -> None:
    findings = [
        Finding("a", "ok", ""),
        Finding("b", "broken", "x"),
        Finding("c", "skipped", ""),
        Finding("d", "broken", "y"),
    ]
    assert conclusion(findings) == "Broken: b. Mend it first. Also broken, perhaps because of it: d."
    assert conclusion(findings[:2]) == "Broken: b. Mend it first."
    assert conclusion(findings[:1]) == "Every hop works."
    assert conclusion([findings[0], findings[2]]) == "Every hop works; 1 could not be asked."
    report = json.loads(as_json("here", findings))
    assert (report["asked"], report["ok"], report["broken"], len(report["hops"])) == ("here", False, "b", 4)
    assert report["hops"][1] == {"hop": "b", "state": "broken", "detail": "x", "hint": "", "ms": 0}


def test_a_line_has_a_mark_the_detail_and_the_hint_as_they_are() -> None:
    out = io.StringIO()
    show(Finding("trunk [a]", "broken", "said [/b]", "try [x]", 7), Console(file=out, width=200))
    assert out.getvalue().splitlines()[0].split() == ["✗", "trunk", "[a]", "said", "[/b]", "(7", "ms)"]
    assert out.getvalue().splitlines()[1].strip() == "→ try [x]"


@pytest.mark.parametrize(
    ("step", "detail", "words"),
    [
        ("registration", "401 Unauthorized", "username, password or realm"),
        ("registration", "no answer", "`register`"),
        ("invite", "488 carrier_rejected", "PCMU"),
        ("invite", "no answer", "GET /call/{call_id}/sip"),
        ("media", "0 audio packets came in 3 s", "RTP range"),
        ("dns", "the name leads to no address that may be called", "TRUNK_ALLOW_PRIVATE"),
    ],
)
def test_a_failed_step_has_a_hint_of_its_own(step: str, detail: str, words: str) -> None:
    assert words in hint_for(step, detail)


def test_an_environment_of_urls_alone_names_what_is_elsewhere() -> None:
    site = site_of_environment({"TALKSTACK_URL": "https://api.example.com/", "WORKER_URL": "http://a:1, http://b:2/"})
    assert site.url == "https://api.example.com"
    assert site.process("call-worker").urls == ("http://a:1", "http://b:2")
    assert site.process("call-worker").env is None
    assert (site.process("auth-api").urls, site.dsns, site.amqp_url) == ((), {}, "")


def test_the_environment_of_a_worker_leads_to_itself() -> None:
    env = {"DATABASE_URL": "postgresql://calls@db/talkstack", "PORT": "8080", "PROJECT_URL": "http://project-api:8080"}
    site = site_of_environment(env)
    assert site.process("call-worker").urls == ("http://127.0.0.1:8080",)
    assert site.process("call-worker").env == env
    assert site.process("project-api").urls == ("http://project-api:8080",)
    assert site.dsns == {"calls": env["DATABASE_URL"]}
