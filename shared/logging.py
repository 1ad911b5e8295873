"""Structured logs: one JSON object a line, with the bound context (`request_id`, `tenant`, `call_id`).

Nothing personal goes into a message: no numbers, addresses, transcripts or secrets.
"""

import logging
import sys
from typing import Literal

import orjson
import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor


def _is_no_malformed_request(record: logging.LogRecord) -> bool:
    """Each would be an error of aiohttp, with a traceback that quotes the header line: personal, and noise."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def configure_logging(service: str, level: str = "info", log_format: Literal["json", "text"] = "json") -> None:
    """Route structlog and the standard library's loggers to stdout in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.EventRenamer("message"),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str).decode())
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            event_key="message", colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    # Without local variables, which hold passwords and addresses: the default renders both formats with them.
    tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    finish: list[Processor] = [tracebacks] if log_format == "json" else []
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setLevel(level.upper())  # some libraries set a level of their own
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aio_pika", "aiormq", "aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_is_no_malformed_request)
    structlog.contextvars.bind_contextvars(service=service)
