"""Presses the button of the upload page in a real browser: serves the page of the example with a script of its own
in it, and passes the rest on to the example's server."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browser import ARGUMENTS, CHROMIUM
from processes import Process

SCRIPT = b"""<script type="module">
const seen = [], said = document.getElementById("said");
for (const [name, text] of await (await fetch("/files")).json()) {
  const chosen = new DataTransfer();
  chosen.items.add(new File([text], name));
  document.getElementById("file").files = chosen.files;
  const told = new Promise((resolve) => {
    new MutationObserver(() => said.textContent !== "\\u2026" && resolve(said.textContent))
      .observe(said, {childList: true});
  });
  document.getElementById("send").click();
  seen.push(await told);
}
await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
</script>"""


class PageDriver:
    def __init__(self, server_url: str):
        self._files: list = []
        self._seen: list[str] | None = None
        self._told = threading.Event()
        driver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def say(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def passed_on(self, body: bytes | None = None) -> None:
                try:
                    with urllib.request.urlopen(server_url + self.path, data=body, timeout=30) as answer:
                        page = answer.read() + (SCRIPT if self.path == "/" else b"")
                        self.say(page, answer.headers["Content-Type"])
                except urllib.error.HTTPError as error:
                    self.say(error.read(), "text/plain", error.code)

            def do_GET(self):
                if self.path == "/files":
                    self.say(json.dumps(driver._files).encode())
                else:
                    self.passed_on()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != "/seen":
                    return self.passed_on(body)
                driver._seen = json.loads(body)
                self.say(b"")
                driver._told.set()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def uploads(self, files: list[tuple[str, str]], profile: Path, timeout: float = 90) -> list[str]:
        """What the page says of each file that is chosen and sent."""
        self._files, self._seen = files, None
        self._told.clear()
        browser = Process("chromium", [CHROMIUM, *ARGUMENTS, f"--user-data-dir={profile}", self.origin + "/"])
        try:
            assert self._told.wait(timeout), f"the page says nothing: {browser.tail()}"
        finally:
            browser.stop()
        return self._seen

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
