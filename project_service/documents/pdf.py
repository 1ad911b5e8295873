"""Run as a program: the text of the PDF on standard input, pages parted by form feeds, to standard output.

It is a process of its own because a hostile file can take any time and memory: the parent ends it. The exit status is 3
for a file that is encrypted, and 4 for one that is broken; any other is a fault of ours.
"""

import logging
import resource
import sys

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError

ENCRYPTED, BROKEN = 3, 4
MAX_PAGES = 2_000
MAX_CHARS = 2_000_000
MAX_MEMORY = 1 << 30
MAX_CPU_SECONDS = 60  # where the parent was killed and does not end it


def main() -> int:
    """Write what can be read, up to the limits."""
    if sys.platform != "darwin":  # it has no such limit: setting one is refused
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    logging.disable()  # pypdf warns of every oddity
    written = 0
    try:
        for page in PdfReader(sys.stdin.buffer).pages[:MAX_PAGES]:
            text = page.extract_text()[: MAX_CHARS - written]
            sys.stdout.buffer.write(f"{text}\f".encode(errors="replace"))
            written += len(text)
            if written >= MAX_CHARS:
                break
    except FileNotDecryptedError:
        return ENCRYPTED
    except Exception:  # noqa: BLE001 - there is no end to what a hostile file makes pypdf raise
        return BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
