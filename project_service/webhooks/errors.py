"""What can go wrong with webhooks."""

from shared.errors import NotFoundError


class DeliveryNotFoundError(NotFoundError):
    """There is no webhook delivery with this id."""

    code = "delivery_not_found"


class WebhookNotSetError(NotFoundError):
    """This project has no webhook URL."""

    code = "webhook_not_set"
