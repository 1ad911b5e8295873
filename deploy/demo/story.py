"""The demo: everything a customer does, through the public API only, told as it happens."""

import secrets
import statistics
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from deploy.demo.api import Api, DemoError
from deploy.demo.mailbox import wait_for_code
from deploy.demo.receiver import Receiver
from deploy.demo.recording import listen

AGENT = (
    "You are Maya, the receptionist of Bright Dental in Portland. Be warm and brief. "
    "We are open Monday to Friday from nine to five. A check-up costs eighty dollars. "
    "Help the caller to make an appointment: ask for their name, then the day and time. "
    "Confirm it before you say goodbye."
)
QUESTIONS = [
    {"question": "Did the caller confirm the appointment?", "type": "Boolean"},
    {"question": "What is the caller's name?", "type": "Text"},
    {"question": "Which day would suit the caller?", "type": "Text"},
]
AREA_CODES = ("202", "206", "212", "303", "312", "404", "415", "503", "512", "617", "702", "808")
NUMBER_TRIES = 20
HINTS = {
    "carrier_rejected": " The simulated carrier reaches only the numbers of the README; docs/sip.md tells of others."
}
WEBHOOK_TIMEOUT_SECONDS = 20


def shown(path: Path) -> Path:
    """The path as a person would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class Story:
    """One run."""

    def __init__(self, api: Api, receiver: Receiver, var: Path, console: Console) -> None:
        self._api = api
        self._receiver = receiver
        self._var = var
        self._console = console
        self._latencies_ms: list[int] = []

    async def tell(self, number: str, instruction: str) -> None:
        """Raises DemoError when anything of it did not happen."""
        await self._sign_up()
        project_id, agent_id = await self._set_up(instruction)
        call_id = await self._call(number, project_id, agent_id)
        call = await self._api.ask("POST", "/call", {"sid": call_id, "projectId": project_id})
        self._check_conversation(call)
        await self._check_recording(call_id, call)
        await self._show_analysis(call_id)
        await self._check_webhook(call_id)
        self._summary(call)

    def _say(self, text: str) -> None:
        self._console.print(f"  [green]✓[/] {text}", highlight=False)

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]", highlight=False)

    async def _sign_up(self) -> None:
        self._title("A developer signs up")
        email, password = f"demo-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(18)
        await self._api.ask("POST", "/auth/signup", {"email": email, "password": password, "name": "Demo Developer"})
        self._say(f"POST /auth/signup        {email}")
        code = await wait_for_code(self._var / "mail", email)
        await self._api.ask("POST", "/auth/verify-email", {"email": email, "code": code})
        self._say(f"POST /auth/verify-email  code {code}, read from the mail in {shown(self._var / 'mail')}")
        answer = await self._api.ask("POST", "/auth/login", {"email": email, "password": password})
        self._api.token = answer["token"]
        self._say("POST /auth/login         access token received")

    async def _set_up(self, instruction: str) -> tuple[str, str]:
        self._title("makes a project, an agent, a number and a webhook")
        project = {"name": "Front desk", "description": "Answers and makes calls for the practice."}
        project_id = (await self._api.ask("POST", "/project/create-project", project))["data"]["id"]
        self._say(f"POST /project/create-project            {project_id}")
        agent = {"name": "Maya", "systemInstruction": instruction, "projectId": project_id}
        agent_id = (await self._api.ask("POST", "/agent/create-agent", agent))["data"]["id"]
        self._say(f"POST /agent/create-agent                {agent_id}")
        self._say(f"POST /phone-number/add-number           {await self._add_number(project_id, agent_id)}")
        hook = {"projectId": project_id, "webhookURL": self._receiver.url}
        answer = await self._api.ask("POST", "/project/call-status/add-webhookurl", hook)
        self._receiver.secret = answer["signingSecret"]
        self._say(f"POST /project/call-status/add-webhookurl {self._receiver.url}")
        return project_id, agent_id

    async def _add_number(self, project_id: str, agent_id: str) -> str:
        """A fictional number (555-01XX) that no earlier demo took."""
        for _ in range(NUMBER_TRIES):
            number = f"+1{secrets.choice(AREA_CODES)}55501{secrets.randbelow(100):02d}"
            body = {"e164": number, "projectId": project_id, "agentId": agent_id}
            status, answer = await self._api.try_ask("POST", "/phone-number/add-number", body)
            if status == 200:
                return number
            if status != 409:
                raise DemoError(f"POST /phone-number/add-number answered {status}: {answer['message']}")
        raise DemoError("Every fictional number tried is taken: `make down` and remove var/ to start afresh.")

    async def _call(self, number: str, project_id: str, agent_id: str) -> str:
        self._title(f"and the agent phones {number}")
        began = time.monotonic()
        body = {"number": number, "projectId": project_id, "agentId": agent_id}
        call = (await self._api.ask("POST", "/call/makeCall", body))["call"]
        self._say(f"POST /call/makeCall  {call['call_id']}  from {call['from']}, {call['status']}")
        async for event in self._api.events(f"/call/{call['call_id']}/events"):
            self._show(event, time.monotonic() - began)
        return str(call["call_id"])

    def _show(self, event: dict[str, Any], at_seconds: float) -> None:
        kind, data = event["type"], event["data"]
        if kind != "call.turn":
            details = {"call.ended": "{status}: {reason}", "call.detected": "{answeredBy}, by {by}"}
            detail = details.get(kind, "").format_map(data)
            self._console.print(
                f"  {at_seconds:6.2f} s  [dim]● {kind.removeprefix('call.')}  {detail}[/]", highlight=False
            )
            return
        latency = data["timings"].get("voice_to_voice_ms")
        if latency is not None:
            self._latencies_ms.append(latency)
        who = "[cyan]agent [/]" if data["role"] == "agent" else "[yellow]callee[/]"
        notes = [f"answered after {latency} ms"] if latency is not None else []
        notes += ["interrupted"] if data["interrupted"] else []
        note = f"  [dim]({', '.join(notes)})[/]" if notes else ""
        self._console.print(f"  {at_seconds:6.2f} s  {who}  {escape(data['text'])}{note}", highlight=False)

    def _check_conversation(self, call: dict[str, Any]) -> None:
        if call["status"] != "completed":
            hint = HINTS.get(call["reason"], "")
            raise DemoError(
                f"The call ended {call['status']} ({call['reason']}): there was no conversation to show.{hint}"
            )
        roles = {turn["role"] for turn in call["transcript"]}
        if roles != {"agent", "user"}:
            raise DemoError(f"The transcript lacks a side: it has {sorted(roles)}.")
        self._title("What came of it")
        self._say(f"transcript  {len(call['transcript'])} turns; collected: {call['data'] or 'nothing'}")

    async def _check_recording(self, call_id: str, call: dict[str, Any]) -> None:
        if not call["recordingUrls"]:
            raise DemoError("The call has no recording.")
        try:
            heard = listen(await self._api.download(f"/call/{call_id}/recording"))
        except ValueError as error:
            raise DemoError(f"The recording can't be read: {error}.") from error
        if not heard.other_seconds or not heard.agent_seconds:
            raise DemoError(f"The recording is silent on one side: {heard}.")
        path = shown(self._var / "recordings" / f"{call_id}.wav")
        self._say(
            f"recording   {heard.seconds:.1f} s, callee left {heard.other_seconds:.1f} s, agent right "
            f"{heard.agent_seconds:.1f} s of sound: {path if path.exists() else call['recordingUrls'][0]}"
        )

    async def _show_analysis(self, call_id: str) -> None:
        body = {"sid": call_id, "questions": QUESTIONS}
        analysis = (await self._api.ask("POST", "/call/analysis", body))["analysis"]
        self._say(f"analysis    {analysis['sentiment']}: {escape(analysis['summary'])}")
        for answer in analysis["answers"]:
            found = answer["answer"] if answer["answer"] is not None else f"can't tell: {answer['reason']}"
            self._console.print(f"                {answer['question']} [bold]{escape(str(found))}[/]", highlight=False)

    async def _check_webhook(self, call_id: str) -> None:
        if not await self._receiver.wait_for("call.completed", call_id, WEBHOOK_TIMEOUT_SECONDS):
            raise DemoError(f"No verified call.completed webhook came within {WEBHOOK_TIMEOUT_SECONDS} s.")
        if self._receiver.forged:
            raise DemoError(f"{self._receiver.forged} webhooks had a wrong signature.")
        types = ", ".join(item["type"].removeprefix("call.") for item in self._receiver.verified)
        self._say(f"webhooks    {len(self._receiver.verified)} delivered, signatures verified: {types}")

    def _summary(self, call: dict[str, Any]) -> None:
        latencies = self._latencies_ms
        speed = (
            f"voice to voice p50 {statistics.median(latencies):.0f} ms, slowest {max(latencies)} ms"
            if latencies
            else "no answers to measure"
        )
        self._say(f"cost        {call['cost']:.4f} {call['currency']} for {call['seconds']} s")
        self._say(f"latency     {speed}")
