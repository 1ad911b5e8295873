"""Events of other services that the owner of an account hears of."""

from auth_service.accounts import repository as accounts
from auth_service.mail import messages
from auth_service.mail.service import MailQueue
from shared.bus import EventBus
from shared.db import Database, Tx
from shared.events import Event
from shared.inbox import Consumer

QUEUE = "auth_service.mails"
BINDINGS = ("webhook.disabled",)


def consumer(db: Database, bus: EventBus, mail: MailQueue) -> Consumer:
    """Mails the owner."""

    async def on_event(tx: Tx, event: Event) -> None:
        if user := await accounts.by_id(tx, event.tenant):
            await mail.add(tx, messages.webhook_disabled(user.email, event.data["url"], event.data["reason"]))

    return Consumer(db, bus, queue=QUEUE, bindings=BINDINGS, handler=on_event, prefetch=2)
