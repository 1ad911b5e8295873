"""Calls: how fast they answer, how many go at once, and what they cost in CPU time and memory."""

from collections.abc import Mapping, Sequence

from call_service.voice.endpointing import EndpointingOptions
from tests.bench.rig import API_PROCESSES, WORKER, Batch, Rig
from tests.bench.sections import Cell, Section, at_most, load_average, percentile

TALKER = "+12025550100"
INTERRUPTER = "+12025550108"
# Callees of our own, in `callees`: those understand nothing, so that the engines work for the agents alone.
BRIEF = "+12025550191"
KEEPS_INTERRUPTING = "+12025550192"
BOOKS = "+12025550193"
ONE_AT_A_TIME = (TALKER, INTERRUPTER, KEEPS_INTERRUPTING)
STEPS = (5, 10, 20, 40)
# About one turn and its answer: without it, all callees would speak, and end, at the same moment.
SPREAD_SECONDS = 8
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
SPREAD = (
    f"Calls begin within {SPREAD_SECONDS} s; the worker's CPU time has the callees' part in it, but for recognition."
)


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
    """About 3 minutes: steps of simultaneous calls with local engines, on one worker."""
    rows = []
    idle_mb, load_before = rig.rss_mb(WORKER), load_average()
    for count in STEPS:
        batch = await rig.place(BOOKS, count, limit_seconds=CALL_LIMIT_SECONDS, spread_seconds=SPREAD_SECONDS)
        rows.append((count, *_step(batch), rig.rss_mb(WORKER)))
    columns = ("calls", "completed", "turns", "p50 ms", "p95 ms", "worker CPU %", "others CPU %", "a call %", "RSS MB")
    bar = f"Worker memory before: {idle_mb:.0f} MB; bar {at_most(rig.rss_mb(WORKER), WORKER_BAR_MB)} MB, flat."
    title = "Local engines, calls at once: voice to voice"
    return [Section(title, columns, rows, load_before, (ENDPOINTING, SPREAD, bar, "Bar: 40 calls at once."))]


def _step(batch: Batch) -> tuple[Cell, ...]:
    answers = batch.timings("voice_to_voice_ms")
    return (
        batch.completed,
        len(answers),
        percentile(answers, 50),
        percentile(answers, 95),
        100 * batch.cpu_seconds / batch.wall_seconds,
        100 * (batch.machine_seconds - batch.cpu_seconds) / batch.wall_seconds,
        100 * batch.cpu_seconds / batch.talk_seconds,
    )


async def null(rig: Rig) -> list[Section]:
    """About 1 1/2 minutes: 200 calls with engines that cost nothing, 50 at once, then the memory of every process."""
    names = (*API_PROCESSES, WORKER)
    async with rig.null_engines():
        load_before, memory = load_average(), [rig.idle_mb | {WORKER: rig.rss_mb(WORKER)}]
        batches = []
        for _ in range(2):
            batches.append(await rig.place(BRIEF, NULL_CALLS // 2, limit_seconds=NULL_LIMIT_SECONDS / 2))
            memory.append({name: rig.rss_mb(name) for name in names})
    return [_cost(batches, load_before), _memory(memory, load_before)]


def _cost(batches: Sequence[Batch], load_before: float) -> Section:
    cpu_seconds = sum(batch.cpu_seconds for batch in batches)
    talk_seconds = sum(batch.talk_seconds for batch in batches)
    wall_seconds = sum(batch.wall_seconds for batch in batches)
    a_call = 100 * cpu_seconds / talk_seconds
    row = (
        f"{NULL_CALLS}, {NULL_AT_ONCE} at once",
        sum(batch.completed for batch in batches),
        talk_seconds / wall_seconds,
        100 * cpu_seconds / wall_seconds,
        a_call,
        at_most(a_call, 1.0),
    )
    columns = ("calls", "completed", "active on average", "worker CPU %", "CPU % an active call", "bar")
    note = "The worker's whole CPU time by answered call: dialling, the simulated callee, recording and database too."
    return Section("Null engines: CPU of a core", columns, [row], load_before, (note,))


def _memory(memory: Sequence[Mapping[str, float]], load_before: float) -> Section:
    idle, half, end = memory
    rows = [
        (name, idle[name], half[name], end[name], end[name] - half[name], at_most(end[name], _memory_bar(name)))
        for name in idle
    ]
    columns = (
        "RSS MB",
        "idle",
        f"after {NULL_CALLS // 2} calls",
        f"after {NULL_CALLS}",
        "growth of the second half",
        "bar",
    )
    note = "Idle is right after the start of the stack; the other benchmarks that were chosen ran in between."
    return Section("Memory (worker with null engines)", columns, rows, load_before, (note,))


def _memory_bar(name: str) -> float:
    return WORKER_BAR_MB if name == WORKER else API_BAR_MB
