"""Forms as browsers and common libraries send them, with nothing set that is not their default: put
together anew, and going on as they came."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import which
from urllib.parse import quote

import pytest
import requests
import urllib3

from conftest import new_bucket
from processes import ROOT
from proxies import Settings, in_front_of
from test_forms import content

NODE = ("undici", "form-data", "axios with form-data", "axios with FormData")
BROWSER = ("chromium, fetch", "chromium, a form")
SENDERS = ("requests", "urllib3", "curl", "curl, much", *NODE, *BROWSER)


@pytest.fixture(scope="module", params=["resign-s3rver", "passthrough-s3rver", "passthrough-moto",
                                        "passthrough-ceph"])
def taking(request, store_named, tmp_path_factory):
    """With a store behind that takes forms itself."""
    signatures, name = request.param.split("-")
    store = store_named(name)
    bucket = new_bucket(store)
    settings = Settings(signatures=signatures)
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp(request.param), settings)
    yield proxy, bucket
    proxy.stop()


def by_requests(url: str, fields: dict, name: str, text: str) -> int:
    return requests.post(url, data=fields, files={"file": (name, text, "text/plain")},
                         timeout=30).status_code


def by_urllib3(url: str, fields: dict, name: str, text: str) -> int:
    pool = urllib3.PoolManager(retries=False)
    return pool.request("POST", url, fields={**fields, "file": (name, text)}).status


def by_curl_waiting(url: str, fields: dict, name: str, text: str) -> int:
    """More than a mebibyte, for which curl asks whether to send it (Expect: 100-continue)."""
    return by_curl(url, fields, name, text)


def by_curl(url: str, fields: dict, name: str, text: str) -> int:
    given = [argument for field in fields.items() for argument in ("--form-string", "=".join(field))]
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *given, "-F",
                           f"file=@-;filename={name};type=text/plain", url], input=text, text=True,
                          capture_output=True, timeout=30, check=True)
    return int(done.stdout)


def by_node(way: str):
    def send(url: str, fields: dict, name: str, text: str) -> int:
        line = json.dumps({"by": way, "url": url, "fields": list(fields.items()),
                           "file": {"name": name, "type": "text/plain", "text": text}})
        done = subprocess.run(["node", str(ROOT / "tests/e2e/node/send_forms.cjs"), str(ROOT / ".node")],
                              input=line + "\n", text=True, capture_output=True, timeout=60, check=True)
        return json.loads(done.stdout)
    return send


PAGE = """<!doctype html><meta charset="utf-8">
<form id="form" method="post" enctype="multipart/form-data">
<input type="file" id="file" name="file"><input type="submit" id="submit" name="submit" value="Go">
</form><script>
const { url, fields, name, text, by } = %s;
const file = new File([text], name, { type: "text/plain" });
if (by == "chromium, fetch") {
  const form = new FormData();
  for (const [field, value] of fields) form.append(field, value);
  form.append("file", file);
  fetch(url, { method: "POST", body: form, mode: "no-cors" }).then(() => fetch("/done"));
} else {
  const form = document.getElementById("form");
  for (const [field, value] of fields) {
    const input = Object.assign(document.createElement("input"), { type: "hidden", name: field, value });
    form.prepend(input);
  }
  const files = new DataTransfer();
  files.items.add(file);
  document.getElementById("file").files = files.files;
  form.action = url;
  document.getElementById("submit").click();
}
</script>"""


def by_chromium(way: str):
    """The page tells us that the form was answered: by a request of its own, or by the redirect."""
    def send(url: str, fields: dict, name: str, text: str) -> int:
        said = queue.Queue()

        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.startswith("/done"):
                    said.put(self.path)
                told = {"url": url, "fields": fields_here, "name": name, "text": text, "by": way}
                body = (PAGE % json.dumps(told)).encode() if self.path == "/" else b"done"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        fields_here = [*fields.items(), ("success_action_redirect", origin + "/done")]
        browser = subprocess.Popen(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                                    "--no-first-run", origin], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            said.get(timeout=60)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
        return 303
    return send


WAYS = {"requests": by_requests, "urllib3": by_urllib3, "curl": by_curl, "curl, much": by_curl_waiting,
        **{way: by_node(way) for way in NODE}, **{way: by_chromium(way) for way in BROWSER}}


@pytest.mark.parametrize("sender", SENDERS)
def test_a_form_of_this_sender_is_stored(taking, sender):
    if sender in BROWSER and not which("chromium"):
        pytest.skip("there is no chromium")
    proxy, bucket = taking
    key = f"sent/by {sender} \u00fc"
    form = proxy.boto().generate_presigned_post(
        bucket, key, Fields={"x-amz-meta-a": "1 2"},
        Conditions=[["starts-with", "$x-amz-meta-a", ""],
                    *([["starts-with", "$success_action_redirect", ""]] if sender in BROWSER else [])])
    text = "meow\nmeow\n" * (200_000 if sender == "curl, much" else 1)
    status = WAYS[sender](form["url"], form["fields"], "a cat \u00fc.txt", text)
    assert status in (200, 204, 303), status
    assert content(proxy, bucket, quote(key)) == text.encode()
    assert proxy.raw().head(f"/{bucket}/{quote(key)}").headers["x-amz-meta-a"] == "1 2"
