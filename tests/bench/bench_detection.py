"""How often it is told right who answered: `python -m tests.bench.bench_detection`. Pure decisions, no audio."""

import sys
import time
from collections import Counter
from statistics import mean

from tests.support.greetings import CALL_MS, answerers, detect


def main() -> None:
    """Print the confusion of the labelled set, with and without words, and what a frame costs."""
    calls = list(answerers())
    for understands in (True, False):
        started = time.process_time()
        verdicts = [detect(call, understands=understands) for call in calls]
        frame_us = (time.process_time() - started) / len(calls) / (CALL_MS / 20) * 1e6
        found = Counter((call.kind, told[-1][1].kind) for call, told in zip(calls, verdicts, strict=True))
        right = sum(count for (kind, told), count in found.items() if kind == told)
        human_ms = mean(told[0][0] for call, told in zip(calls, verdicts, strict=True) if call.kind == "human")
        way = "words, timing, beep" if understands else "timing and beep"
        sys.stdout.write(f"{way}: {right} of {len(calls)} right; a person is known after {human_ms / 1000:.1f} s; ")
        sys.stdout.write(f"{frame_us:.1f} us a frame\n")
        for (kind, told), count in sorted(found.items()):
            sys.stdout.write(f"  {kind:10} told as {told:10} {count:4}\n")


if __name__ == "__main__":
    main()
