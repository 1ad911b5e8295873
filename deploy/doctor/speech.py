"""The speech engines of this machine: a word is said, and heard."""

from call_service.voice.engines.bundle import SpeechUnavailableError, load_engines
from call_service.voice.engines.voices import DEFAULT_VOICE
from deploy.doctor.hops import BrokenError, SkippedError
from deploy.doctor.site import Site, worker_settings

SENTENCE, WORD = "The appointment is on Thursday.", "thursday"
SAMPLES_A_SECOND = 8_000


async def speech(site: Site) -> str:
    """Load the engines, say a sentence, and find its word in what they hear."""
    settings = worker_settings(site)
    if settings and settings.engines == "null":
        raise SkippedError("ENGINES=null: this worker neither hears nor speaks")
    try:
        engines = await load_engines()
    except SpeechUnavailableError as error:
        raise BrokenError(str(error), "vendors of speech work without them: docs/providers.md") from error
    try:
        said = await engines.synthesizer.synthesize(SENTENCE, DEFAULT_VOICE)
        heard = await engines.recognizer.recognize(said)
    finally:
        engines.close()
    if WORD not in heard.lower():
        raise BrokenError(f"said {SENTENCE!r}, heard {heard!r}", "install the locked packages again: `make clean up`")
    return f"said {len(said) / 2 / SAMPLES_A_SECOND:.1f} s, heard {heard!r}"
