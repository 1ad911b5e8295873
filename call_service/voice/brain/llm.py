"""The brain on a language model: sentences are spoken as they are written."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from call_service.llm import Delta, LlmClient, LlmError, LlmRejectedError, Message, TextDelta, ToolCall
from call_service.tools.exchange import Exchange
from call_service.tools.rounds import ROUNDS, in_rounds
from call_service.tools.toolbox import Toolbox
from call_service.voice.brain.expects import say
from call_service.voice.brain.prompt import MarkerFilter, command_of, messages, used_now
from call_service.voice.brain.sentences import SentenceBuffer, split_sentences
from call_service.voice.ports import AgentProfile, BrainOutput, Collected, EndCall, EngineError, Say, Turn

_ANSWERED = "(The call was just answered. Greet the person and say why you call or offer your help.)"
_SILENT = "(The person has said nothing for a while. Ask shortly whether they are still there.)"
_GIVE_UP = "(The person still says nothing. Say that you cannot hear them, say goodbye and end the call.)"
_SILENCES_BEFORE_END = 2


class LlmBrain:
    """Opens conversations on one model. It owns the client."""

    def __init__(self, client: LlmClient) -> None:
        self._client = client

    def converse(self, profile: AgentProfile, tools: Toolbox | None = None) -> "LlmConversation":
        """Start the conversation of one call."""
        return LlmConversation(self._client, profile, tools or Toolbox())

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()


class LlmConversation:
    """One call. The history comes from the session, so the model knows what was really heard."""

    def __init__(self, client: LlmClient, profile: AgentProfile, tools: Toolbox) -> None:
        self._client = client
        self._profile = profile
        self._tools = tools
        self._takes_tools = True
        self._noted: set[Collected] = set()
        self._history: Sequence[Turn] = ()

    async def opening(self) -> AsyncGenerator[BrainOutput]:
        """The agent's first message where it has one, else the model's greeting.

        Raises:
            EngineError: stage `llm`.
        """
        if self._profile.first_message:
            for sentence in split_sentences(self._profile.first_message):
                yield say(sentence)
            return
        async with aclosing(self._answer(_ANSWERED)) as outputs:
            async for output in outputs:
                yield output

    def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """The model's answer to `heard`, sentence by sentence.

        Raises:
            EngineError: stage `llm`.
        """
        self._history = history
        return self._answer(heard)

    def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """Ask once whether anybody is there, then say goodbye.

        Raises:
            EngineError: stage `llm`.
        """
        last = count >= _SILENCES_BEFORE_END
        return self._answer(_GIVE_UP if last else _SILENT, ends=last)

    def _answer(self, heard: str, *, ends: bool = False) -> AsyncGenerator[BrainOutput]:
        """What the model says and does; it is asked again with what its tools have found."""
        used: list[Exchange] = []
        said: list[str] = []

        def use(calls: Sequence[ToolCall]) -> Exchange:
            used.append(self._tools.use(calls, self._history[-1] if self._history else None, " ".join(said)))
            return used[-1]

        async def ask(calls: list[ToolCall], _is_last: bool) -> AsyncGenerator[BrainOutput]:
            said.clear()
            async with aclosing(self._outputs(heard, used, calls)) as outputs:
                async for output in outputs:
                    if isinstance(output, Say):
                        said.append(output.text)
                    yield output

        return in_rounds(ask, use, EndCall() if ends else None)

    def _is_news(self, output: BrainOutput) -> bool:
        """Values only the first time."""
        if isinstance(output, Collected):
            known = output in self._noted
            self._noted.add(output)
            return not known
        return True

    async def _outputs(
        self, heard: str, used: Sequence[Exchange], calls: list[ToolCall]
    ) -> AsyncGenerator[BrainOutput]:
        """What one answer of the model means. It sees what was `used` before; its own `calls` are added."""
        sentences, markers = SentenceBuffer(), MarkerFilter()
        try:
            async with aclosing(self._deltas(heard, used)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, ToolCall):
                        is_wanted = self._tools.accepts(delta, len(calls))
                        calls.append(delta)
                        if not is_wanted:
                            continue
                    for output in filter(self._is_news, _meaning(delta, sentences, markers)):
                        yield output
        except LlmError as error:
            raise EngineError("llm", str(error)) from error
        for sentence in sentences.push(markers.flush()) + sentences.flush():
            yield say(sentence)

    async def _deltas(self, heard: str, used: Sequence[Exchange]) -> AsyncGenerator[Delta]:
        """The model's stream. Some endpoints refuse `tools`: they are asked without, for the rest of the call."""
        while True:
            tools = self._tools.functions if self._takes_tools else ()
            prompt = self._prompt(heard, used)
            stream = self._client.stream(prompt, tools=tools, temperature=self._profile.temperature)
            try:
                async with aclosing(stream):
                    async for delta in stream:
                        yield delta
            except LlmRejectedError:
                if not tools:
                    raise
                self._takes_tools = False
            else:
                return

    def _prompt(self, heard: str, used: Sequence[Exchange]) -> list[Message]:
        if not self._takes_tools:
            return messages(self._profile, self._history, heard, tools=False)
        before = [exchange for exchange in self._tools.exchanges if exchange not in used]
        asked = messages(self._profile, self._history, heard, tools=True, rules=self._tools.rules, before=before)
        return [*asked, *used_now(used, ROUNDS)]


def _meaning(delta: Delta, sentences: SentenceBuffer, markers: MarkerFilter) -> Iterator[BrainOutput]:
    if isinstance(delta, TextDelta):
        text, commands = markers.push(delta.text)
        yield from commands
        yield from map(say, sentences.push(text))
    elif command := command_of(delta):
        yield command
