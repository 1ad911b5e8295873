"""A customer of a running stack, who uses its public API only."""

import secrets
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from deploy.demo.api import Api
from deploy.demo.mailbox import wait_for_code
from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack

DENTIST = (
    "You are Maya, the receptionist of Bright Dental. We are open Monday to Friday from nine to five. "
    "Ask for the caller's name, then the day and time. Confirm it before you say goodbye."
)
_taken: set[str] = set()


def fictional_number() -> str:
    """A number of the 555-01XX block that no other customer of this run has."""
    while True:
        area = f"{secrets.randbelow(8) + 2}{secrets.randbelow(10)}{secrets.randbelow(10)}"
        number = f"+1{area}55501{secrets.randbelow(100):02d}"
        if area[1:] != "11" and not number.startswith("+1202555") and number not in _taken:
            _taken.add(number)
            return number


@dataclass
class Customer:
    """Signed up, with a project, an agent and a number."""

    api: Api
    email: str
    password: str
    project_id: str = ""
    agent_id: str = ""
    seen: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def call(self, number: str, **body: Any) -> str:
        """Make a call; returns its id."""
        answer = await self.api.ask(
            "POST",
            "/call/makeCall",
            {"number": number, "projectId": self.project_id, "agentId": self.agent_id, **body},
        )
        return str(answer["call"]["call_id"])

    async def follow(self, call_id: str, until: str = "call.completed") -> dict[str, Any]:
        """Watch the live events until one of type `until`, which is returned; all are kept in `seen`."""
        events = self.seen[call_id] = []
        async with aclosing(self.api.events(f"/call/{call_id}/events")) as stream:
            async for event in stream:
                events.append(event)
                if event["type"] == until:
                    return event
        raise AssertionError(f"the stream ended without {until}: {[event['type'] for event in events]}")

    async def add_webhook(self, receiver: Receiver) -> None:
        """Have events sent to `receiver`."""
        answer = await self.api.ask(
            "POST",
            "/project/call-status/add-webhookurl",
            {"projectId": self.project_id, "webhookURL": receiver.url},
        )
        receiver.secret = answer["signingSecret"]


async def sign_up(stack: Stack, session: aiohttp.ClientSession) -> Customer:
    """A verified customer who is logged in and owns nothing yet."""
    api = Api(session, stack.url())
    email, password = f"user-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(18)
    await api.ask("POST", "/auth/signup", {"email": email, "password": password, "name": "Test"})
    code = await wait_for_code(stack.var / "mail", email)
    await api.ask("POST", "/auth/verify-email", {"email": email, "code": code})
    api.token = (await api.ask("POST", "/auth/login", {"email": email, "password": password}))["token"]
    return Customer(api, email, password)


async def new_customer(
    stack: Stack, session: aiohttp.ClientSession, instruction: str = DENTIST, **agent: Any
) -> Customer:
    """A customer with a project, an agent and a number."""
    customer = await sign_up(stack, session)
    ask = customer.api.ask
    project = await ask("POST", "/project/create-project", {"name": "Front desk", "description": ""})
    customer.project_id = project["data"]["id"]
    body = {"name": "Maya", "systemInstruction": instruction, "projectId": customer.project_id, **agent}
    customer.agent_id = (await ask("POST", "/agent/create-agent", body))["data"]["id"]
    owner = {"projectId": customer.project_id, "agentId": customer.agent_id}
    await ask("POST", "/phone-number/add-number", {"e164": fictional_number(), **owner})
    return customer
