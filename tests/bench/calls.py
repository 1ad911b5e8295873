"""Calls: how fast they answer, how many go at once, and what they cost in CPU time and memory."""

from collections.abc import Mapping

from call_service.voice.endpointing import EndpointingOptions
from tests.bench.rig import API_PROCESSES, WORKER, Batch, Rig
from tests.bench.sections import Cell, Section, at_most, load_average, percentile

TALKER = "+12025550100"
INTERRUPTER = "+12025550108"
BRIEF = "+12025550191"
KEEPS_INTERRUPTING = "+12025550192"
ONE_AT_A_TIME = (TALKER, INTERRUPTER, KEEPS_INTERRUPTING)
STEPS = (5, 10, 20, 40)
NULL_CALLS = 200
NULL_AT_ONCE = 50
CALL_LIMIT_SECONDS = 150
NULL_LIMIT_SECONDS = 240
API_BAR_MB = 120
WORKER_BAR_MB = 600
_WAITS = EndpointingOptions()
ENDPOINTING = (
    f"End of turn: the product's default, {_WAITS.wait_ms} ms of silence, {_WAITS.wait_yes_no_ms} ms after a yes/no "
    f"question, {_WAITS.wait_digits_ms} ms while digits are spelled."
)
SHARED = "The simulated callees speak and understand with the same engines, in the worker's process: half the work."


async def voice(rig: Rig) -> list[Section]:
    """About 2 minutes: single calls with local engines, one after the other."""
    load_before = load_average()
    batches = [await rig.place(number, 1, limit_seconds=CALL_LIMIT_SECONDS) for number in ONE_AT_A_TIME]
    answers = [ms for batch in batches for ms in batch.timings("voice_to_voice_ms")]
    barge_in = [ms for batch in batches for ms in batch.timings("barge_in_ms")]
    rows = [
        _percentiles("voice to voice", answers, 550, 800),
        _percentiles("barge-in", barge_in, None, 250),
    ]
    columns = ("ms", "n", "p50", "bar", "p95", "bar")
    notes = (ENDPOINTING, "The bars are for 300 ms of silence throughout.")
    return [Section("Local engines, one call at a time", columns, rows, load_before, notes)]


def _percentiles(name: str, values: list[float], p50_bar: float | None, p95_bar: float) -> tuple[Cell, ...]:
    p50, p95 = percentile(values, 50), percentile(values, 95)
    return name, len(values), p50, at_most(p50, p50_bar) if p50_bar else "", p95, at_most(p95, p95_bar)


async def concurrency(rig: Rig) -> list[Section]:
    """About 3 1/2 minutes: steps of simultaneous calls with local engines, on one worker."""
    rows = []
    idle_mb, load_before = rig.rss_mb(WORKER), load_average()
    for count in STEPS:
        load_at_step = load_average()
        batch = await rig.place(TALKER, count, limit_seconds=CALL_LIMIT_SECONDS)
        rows.append((count, *_step(batch), rig.rss_mb(WORKER), load_at_step))
    columns = ("calls", "completed", "turns", "p50 ms", "p95 ms", "worker CPU %", "CPU % a call", "RSS MB", "load")
    bar = f"Worker memory before: {idle_mb:.0f} MB; bar {at_most(rig.rss_mb(WORKER), WORKER_BAR_MB)} MB, flat."
    title = "Local engines, calls at once: voice to voice"
    return [Section(title, columns, rows, load_before, (ENDPOINTING, SHARED, bar, "Bar: 40 calls at once."))]


def _step(batch: Batch) -> tuple[Cell, ...]:
    answers = batch.timings("voice_to_voice_ms")
    return (
        batch.completed,
        len(answers),
        percentile(answers, 50),
        percentile(answers, 95),
        100 * batch.cpu_seconds / batch.wall_seconds,
        100 * batch.cpu_seconds / batch.talk_seconds,
    )


async def null(rig: Rig) -> list[Section]:
    """About 2 minutes: 200 calls with engines that cost nothing, 50 at once, then the memory of every process."""
    idle = {name: rig.rss_mb(name) for name in API_PROCESSES}
    async with rig.null_engines():
        idle[WORKER] = rig.rss_mb(WORKER)
        load_before = load_average()
        batch = await rig.place(BRIEF, NULL_CALLS, limit_seconds=NULL_LIMIT_SECONDS)
        after = {name: rig.rss_mb(name) for name in idle}
    return [_cost(batch, load_before), _memory(idle, after, load_before)]


def _cost(batch: Batch, load_before: float) -> Section:
    a_call = 100 * batch.cpu_seconds / batch.talk_seconds
    row = (
        f"{NULL_CALLS}, {NULL_AT_ONCE} at once",
        batch.completed,
        batch.talk_seconds / batch.wall_seconds,
        100 * batch.cpu_seconds / batch.wall_seconds,
        a_call,
        at_most(a_call, 1.0),
    )
    columns = ("calls", "completed", "active on average", "worker CPU %", "CPU % an active call", "bar")
    note = "The worker's whole CPU time by answered call: dialling, the simulated callee, recording and database too."
    return Section("Null engines: CPU of a core", columns, [row], load_before, (note,))


def _memory(idle: Mapping[str, float], after: Mapping[str, float], load_before: float) -> Section:
    rows = [
        (name, idle[name], after[name], after[name] - idle[name], at_most(after[name], _memory_bar(name)))
        for name in idle
    ]
    columns = ("RSS MB", "before", f"after {NULL_CALLS} calls", "growth", "bar")
    return Section("Memory (worker with null engines)", columns, rows, load_before)


def _memory_bar(name: str) -> float:
    return WORKER_BAR_MB if name == WORKER else API_BAR_MB
