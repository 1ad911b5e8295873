"""Makes the tools of one call from the agent's settings, as they are when the call is made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from call_service.calls.domain import Call
from call_service.kept import Kept
from call_service.spoken.languages import is_english
from call_service.tools.built_in import collect, hang_up, send_dtmf, transfer, wait
from call_service.tools.http import HttpTool, Target
from call_service.tools.library import Library
from call_service.tools.look_up import LookUp
from call_service.tools.tool import Tool
from call_service.tools.toolbox import Toolbox
from shared.http_client import GuardedClient

FILLER = "One moment, please, I am looking that up."
_MENUS = (
    "You may reach a recorded menu before a person. {goal}While a recording speaks, say nothing: "
    'call the tool "send_dtmf" with the key it names for your goal, or "wait" until it names one.'
)
_DOCUMENTS = 'Before you say that you do not know something, call the tool "look_up".'


@dataclass(frozen=True, slots=True)
class Tooling:
    """What the tools of all calls of a worker share."""

    client: GuardedClient
    secrets: Kept[Mapping[str, SecretStr]]
    library: Library

    def toolbox(self, call: Call) -> Toolbox:
        """What the agent of `call` may do."""
        settings: Sequence[Mapping[str, Any]] = call.agent.get("tools") or ()
        by_type = {one["type"]: one for one in settings}
        menus, documents = by_type.get("sendDtmf"), "lookUp" in by_type
        if documents:
            self.library.warm(call.tenant, call.agent["id"])
        rules = [_MENUS.format(goal=_goal(menus.get("goal")))] if menus else []
        tools = [*_always(by_type), *(tool for one in settings for tool in self._chosen(call, one))]
        return Toolbox(
            tools,
            rules=[*rules, *([_DOCUMENTS] if documents else [])],
            goal=menus.get("goal") if menus else None,
        )

    def _chosen(self, call: Call, one: Mapping[str, Any]) -> Iterator[Tool]:
        filler = FILLER if is_english(call.agent["language"]) else None
        match one["type"]:
            case "http":
                yield self._http(call, one, one.get("filler") or filler)
            case "transfer" if numbers := call.agent.get("transferNumbers"):
                yield transfer(numbers, one["mode"], one["announcement"], one.get("description"))
            case "sendDtmf":
                yield send_dtmf(one.get("description"))
                yield wait()
            case "lookUp":
                yield self._look_up(call, one.get("description"), filler)

    def _http(self, call: Call, one: Mapping[str, Any], filler: str | None) -> HttpTool:
        target = Target(one["url"], one["method"], one["headers"], one["timeoutSeconds"], one["retries"])
        return HttpTool(
            one["name"],
            one["description"],
            one["parameters"],
            filler,
            target,
            call.id,
            self.client,
            lambda: self.secrets.of(call.tenant, call.project_id),
        )

    def _look_up(self, call: Call, wish: str | None, filler: str | None) -> LookUp:
        description = f"Find what your documents say about a question. {wish or ''}".strip()
        return LookUp(lambda question: self.library.find(call.tenant, call.agent["id"], question), description, filler)


def _always(by_type: Mapping[str, Mapping[str, Any]]) -> Iterator[Tool]:
    """What every agent can do, as its owner wants it done."""
    wished = by_type.get("collect", {})
    fields = {field["name"]: field.get("description") for field in wished.get("fields", ())}
    yield collect(wished.get("description"), fields)
    yield hang_up(by_type.get("endCall", {}).get("description"))


def _goal(goal: str | None) -> str:
    return f"Your goal there: {goal}. " if goal else ""
