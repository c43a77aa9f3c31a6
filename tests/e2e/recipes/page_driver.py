"""Presses the button of the upload page in a real browser: serves the page of the example with a script of its own
in it, and passes the rest on to the example's server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

from browser import Opened

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


class PageDriver(Opened):
    def __init__(self, server_url: str):
        self._server_url = server_url
        super().__init__()

    def get(self, request) -> None:
        if request.path == "/files":
            request.say("application/json", json.dumps(self._files).encode())
        else:
            self.post(request)

    def post(self, request, body: bytes | None = None) -> None:
        """Passes it on to the example's server."""
        try:
            url = self._server_url + request.path
            with urllib.request.urlopen(url, data=body, timeout=30) as answer:
                page = answer.read() + (SCRIPT if request.path == "/" else b"")
                request.say(answer.headers["Content-Type"], page)
        except urllib.error.HTTPError as error:
            request.say("text/plain", error.read(), error.code)

    def uploads(self, files: list[tuple[str, str]], profile: Path, timeout: float = 90) -> list[str]:
        """What the page says of each file that is chosen and sent."""
        self._files = files
        return self.seen(profile, timeout)
