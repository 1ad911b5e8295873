"""One answer of a model that uses tools: it is asked, they work, and it is asked again with what came of it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from call_service.llm.messages import ToolCall
from call_service.tools.exchange import Exchange
from call_service.voice.ports import BrainOutput, EndCall, Say, Spoken, Transfer

ROUNDS = 4

# Asks the model once, for words only in the last round. The tools that it calls are added to the list.
Ask = Callable[[list[ToolCall], bool], AsyncGenerator[BrainOutput]]


async def in_rounds(
    ask: Ask, use: Callable[[Sequence[ToolCall]], Exchange], last: BrainOutput | None = None
) -> AsyncGenerator[BrainOutput]:
    """What the model says and does, until it has nothing to add. `use` puts the tools to work.

    Who is hung up on or transferred hears nothing more, so that comes last; `last` where the model wants neither.
    """
    for number in range(1, ROUNDS + 1):
        calls: list[ToolCall] = []
        has_spoken = False
        async with aclosing(ask(calls, number == ROUNDS)) as outputs:
            async for output in outputs:
                has_spoken = has_spoken or _is_audible(output)
                if isinstance(output, EndCall):
                    last = last or output
                else:
                    yield output
        if not calls:
            break
        exchange = use(calls)
        async with aclosing(exchange.outputs(has_spoken=has_spoken)) as outputs:
            async for output in outputs:
                if isinstance(output, Transfer):
                    last = last or output
                else:
                    yield output
        if exchange.is_settled(has_spoken=has_spoken):
            break
    if last:
        yield last


def _is_audible(output: BrainOutput) -> bool:
    return isinstance(output, Say) or (isinstance(output, Spoken) and bool(output.pcm))
