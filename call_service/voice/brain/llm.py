"""The brain on a language model: sentences are spoken as they are written."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from call_service.llm import Delta, LlmClient, LlmError, LlmRejectedError, TextDelta, ToolCall
from call_service.voice.brain.expects import say
from call_service.voice.brain.prompt import TOOLS, MarkerFilter, command_of, messages, tool_results
from call_service.voice.brain.sentences import SentenceBuffer, split_sentences
from call_service.voice.ports import AgentProfile, BrainOutput, Collected, EndCall, EngineError, Say, Turn

_ANSWERED = "(The call was just answered. Greet the person and say why you call or offer your help.)"
_SILENT = "(The person has said nothing for a while. Ask shortly whether they are still there.)"
_GIVE_UP = "(The person still says nothing. Say that you cannot hear them, say goodbye and end the call.)"
_SILENCES_BEFORE_END = 2
_ROUNDS = 2  # a model that only calls tools is asked once more, for words


class LlmBrain:
    """Opens conversations on one model. It owns the client."""

    def __init__(self, client: LlmClient) -> None:
        self._client = client

    def converse(self, profile: AgentProfile) -> "LlmConversation":
        """Start the conversation of one call."""
        return LlmConversation(self._client, profile)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()


class LlmConversation:
    """One call. The history comes from the session, so the model knows what was really heard."""

    def __init__(self, client: LlmClient, profile: AgentProfile) -> None:
        self._client = client
        self._profile = profile
        self._tools = True
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

    async def _answer(self, heard: str, *, ends: bool = False) -> AsyncGenerator[BrainOutput]:
        calls: list[ToolCall] = []
        spoke = False
        for _ in range(_ROUNDS):
            async with aclosing(self._outputs(heard, calls)) as outputs:
                async for output in outputs:
                    spoke = spoke or isinstance(output, Say)
                    ends = ends or isinstance(output, EndCall)
                    if self._is_news(output):
                        yield output
            if spoke or not calls:
                break
        if ends:
            yield EndCall()

    def _is_news(self, output: BrainOutput) -> bool:
        """Sentences always are, values only the first time; the end comes once, after everything else."""
        if isinstance(output, Collected):
            known = output in self._noted
            self._noted.add(output)
            return not known
        return isinstance(output, Say)

    async def _outputs(self, heard: str, calls: list[ToolCall]) -> AsyncGenerator[BrainOutput]:
        """What one answer of the model means. It sees the `calls` made before; its own are added."""
        sentences, markers = SentenceBuffer(), MarkerFilter()
        try:
            async with aclosing(self._deltas(heard, tuple(calls))) as deltas:
                async for delta in deltas:
                    calls.extend([delta] if isinstance(delta, ToolCall) else [])
                    for output in _meaning(delta, sentences, markers):
                        yield output
        except LlmError as error:
            raise EngineError("llm", str(error)) from error
        for sentence in sentences.push(markers.flush()) + sentences.flush():
            yield say(sentence)

    async def _deltas(self, heard: str, calls: Sequence[ToolCall]) -> AsyncGenerator[Delta]:
        """The model's stream. Some endpoints refuse `tools`: they are asked without, for the rest of the call."""
        while True:
            tools = TOOLS if self._tools else ()
            prompt = [*messages(self._profile, self._history, heard, tools=self._tools), *tool_results(calls)]
            stream = self._client.stream(prompt, tools=tools, temperature=self._profile.temperature)
            try:
                async with aclosing(stream):
                    async for delta in stream:
                        yield delta
            except LlmRejectedError:
                if not tools:
                    raise
                self._tools = False
            else:
                return


def _meaning(delta: Delta, sentences: SentenceBuffer, markers: MarkerFilter) -> Iterator[BrainOutput]:
    if isinstance(delta, TextDelta):
        text, commands = markers.push(delta.text)
        yield from commands
        yield from map(say, sentences.push(text))
    elif command := command_of(delta):
        yield command
