"""A small process in the place of a service: `python -m tests.integration.deploy.stand_in serve|fail|slow`.

`serve` answers `/health/ready`, and `/env` with its environment; `slow` needs DRAIN_SECONDS to stop.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode() if self.path == "/env" else b"ready")


def main(mode: str) -> None:
    if mode == "fail":
        sys.exit("the setting COLOUR is missing")
    server = ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)

    def stop(*_: object) -> None:
        if mode == "slow":
            time.sleep(float(os.environ["DRAIN_SECONDS"]))
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print("the stand-in serves", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    print("stopped in good order", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
