"""A real browser: pages of another origin, which fetch what a test tells them to and tell it what
they saw."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from processes import Process

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-dev-shm-usage")

# A page can see of an answer: that there is one, its status, its body, and the headers exposed to it.
PAGE = b"""<!doctype html><meta charset="utf-8"><title>page</title><script>
async function look(step) {
  let body;
  if (step.form) {
    body = new FormData();
    for (const [name, value] of step.form) body.append(name, value);
    body.append("file", new Blob(["meow"]), "cat.txt");
  } else if (step.body !== null) {
    body = new TextEncoder().encode(step.body);
  }
  try {
    const answer = await fetch(step.url, {method: step.method, headers: step.headers, body});
    const text = await answer.text();
    const xml = new DOMParser().parseFromString(text, "application/xml");
    const code = xml.documentElement.tagName === "Error" ? xml.querySelector("Code") : null;
    return {status: answer.status, text, code: code && code.textContent,
            headers: Object.fromEntries(answer.headers)};
  } catch (error) {
    return {error: String(error)};
  }
}
(async () => {
  const seen = [];
  for (const step of await (await fetch("/steps")).json()) seen.push(await look(step));
  await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


class Page:
    """A page of its own origin."""

    def __init__(self):
        self._steps: list[dict] = []
        self._seen: list[dict] | None = None
        self._told = threading.Event()
        page = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def say(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path == "/steps":
                    self.say("application/json", json.dumps(page._steps).encode())
                else:
                    self.say("text/html", PAGE)

            def do_POST(self):
                page._seen = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.say("text/plain", b"")
                page._told.set()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def sees(self, steps: dict[str, dict], profile: Path, timeout: float = 90) -> dict[str, dict]:
        """What the page sees of each step, in their order: method, url, headers, body or form."""
        plain = {"method": "GET", "headers": {}, "body": None, "form": None}
        self._steps, self._seen = [{**plain, **step} for step in steps.values()], None
        self._told.clear()
        arguments = [CHROMIUM, *ARGUMENTS, f"--user-data-dir={profile}", self.origin + "/"]
        browser = Process("chromium", arguments)
        try:
            assert self._told.wait(timeout), f"the page says nothing: {browser.tail()}"
        finally:
            browser.stop()
        return dict(zip(steps, self._seen))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
