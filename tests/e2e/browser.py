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


class Opened:
    """A server whose page a browser opens. The page posts what it saw to /seen."""

    def __init__(self):
        self._seen = None
        self._told = threading.Event()
        opened = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def say(self, kind: str, body: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                opened.get(self)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != "/seen":
                    return opened.post(self, body)
                opened._seen = json.loads(body)
                self.say("text/plain", b"")
                opened._told.set()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def get(self, request) -> None:
        raise NotImplementedError

    def post(self, request, body: bytes) -> None:
        raise NotImplementedError

    def seen(self, profile: Path, timeout: float) -> list:
        """What the page says that it saw."""
        self._seen = None
        self._told.clear()
        arguments = [CHROMIUM, *ARGUMENTS, f"--user-data-dir={profile}", self.origin + "/"]
        browser = Process("chromium", arguments)
        try:
            assert self._told.wait(timeout), f"the page says nothing: {browser.tail()}"
        finally:
            browser.stop()
        return self._seen

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Page(Opened):
    """A page of its own origin."""

    def get(self, request) -> None:
        if request.path == "/steps":
            request.say("application/json", json.dumps(self._steps).encode())
        else:
            request.say("text/html", PAGE)

    def sees(self, steps: dict[str, dict], profile: Path, timeout: float = 90) -> dict[str, dict]:
        """What the page sees of each step, in their order: method, url, headers, body or form."""
        plain = {"method": "GET", "headers": {}, "body": None, "form": None}
        self._steps = [{**plain, **step} for step in steps.values()]
        return dict(zip(steps, self.seen(profile, timeout)))
