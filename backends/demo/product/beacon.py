"""Beacon: a small HTTP service that says its version. It exists to be upgraded.

GET /health answers 200 with {"version", "healthy"}; a `sick` release starts and answers 503.
It ends by itself within five seconds when the file named by BEACON_LEASE is no longer touched.
Python 3.6.
"""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
LEASE_SECONDS = 4.5


def read(name: str) -> str:
    """A file of this release, stripped."""
    with open(os.path.join(HERE, name)) as stream:
        return stream.read().strip()


class Answer(BaseHTTPRequestHandler):
    """Answers every GET with version and health."""

    def do_GET(self) -> None:
        """Say what we are."""
        sick = os.path.exists(os.path.join(HERE, "sick"))
        body = json.dumps({"version": read("VERSION"), "healthy": not sick}).encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Health checks are not worth a line."""


def lease(path: str) -> None:
    """End when nobody wants us any more."""
    while True:
        time.sleep(0.25)
        try:
            idle = time.time() - os.stat(path).st_mtime
        except OSError:
            idle = LEASE_SECONDS + 1
        if idle > LEASE_SECONDS:
            os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until TERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.chdir(HERE)
    server = HTTPServer(("127.0.0.1", int(os.environ["BEACON_PORT"])), Answer)
    with open(os.path.join(HERE, "beacon.pid"), "w") as stream:
        stream.write("{}\n".format(os.getpid()))
    if os.environ.get("BEACON_LEASE"):
        thread = threading.Thread(target=lease, args=(os.environ["BEACON_LEASE"],), daemon=True)
        thread.start()
    print("beacon", read("VERSION"), "on port", os.environ["BEACON_PORT"], flush=True)
    if os.path.exists(os.path.join(HERE, "sick")):
        print("unknown field max_outstanding: staying unready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
