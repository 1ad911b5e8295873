"""Makes the adapters of one call from the agent's choice and the project's keys."""

from dataclasses import dataclass

from call_service.calls.domain import Call
from call_service.spoken.languages import primary_of
from call_service.vendors.choice import Choice
from call_service.vendors.connection import Connection
from call_service.vendors.media_streams.line import MediaStreamLine
from call_service.vendors.media_streams.messages import stream_of
from call_service.vendors.models import ModelBuilder, model_of
from call_service.vendors.realtime.line import RealtimeLine
from call_service.vendors.recognition.assemblyai import AssemblyAiWire, default_model
from call_service.vendors.recognition.deepgram import DeepgramWire
from call_service.vendors.recognition.streaming import StreamingRecognizer
from call_service.vendors.recognition.whisper import WhisperRecognizer
from call_service.vendors.synthesis.sources import CartesiaSource, DeepgramSource, ElevenLabsSource, OpenAiSource
from call_service.vendors.synthesis.vendor import SpeechCache, SpeechSource, VendorSynthesizer


@dataclass(frozen=True, slots=True)
class Builder(ModelBuilder):
    """All the adapters."""

    cache: SpeechCache
    language: str

    def recognizer(self, choice: Choice) -> StreamingRecognizer | WhisperRecognizer:
        """Raises KeyMissingError."""
        connection, model = self._connection(choice, "stt"), model_of(choice, "stt")
        match choice.provider:
            case "deepgram":
                return StreamingRecognizer(connection, DeepgramWire(model, self.language, choice.options))
            case "assemblyai":
                model = choice.model or default_model(self.language)
                return StreamingRecognizer(connection, AssemblyAiWire(model, choice.options))
        return WhisperRecognizer(connection, model, primary_of(self.language), choice.options)

    def synthesizer(self, choice: Choice) -> VendorSynthesizer:
        """Raises KeyMissingError."""
        connection = self._connection(choice, "tts")
        return VendorSynthesizer(self._source(choice, connection), connection.meter, self.cache)

    def _source(self, choice: Choice, connection: Connection) -> SpeechSource:
        model = model_of(choice, "tts")
        match choice.provider:
            case "elevenlabs":
                return ElevenLabsSource(connection, model, choice.voice, choice.options)
            case "cartesia":
                return CartesiaSource(connection, model, choice.voice, primary_of(self.language), choice.options)
            case "deepgram":
                return DeepgramSource(connection, choice.voice, choice.options)
        return OpenAiSource(connection, model, choice.voice, choice.options)

    def speech_model(self, choice: Choice) -> RealtimeLine:
        """Raises KeyMissingError."""
        return RealtimeLine(self._connection(choice, "s2s"), model_of(choice, "s2s"), choice.voice, choice.options)

    def bot(self, choice: Choice, call: Call) -> MediaStreamLine:
        """Raises KeyMissingError."""
        return MediaStreamLine(self._connection(choice, "s2s"), stream_of(call, choice.options))
