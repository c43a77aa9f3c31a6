"""Passthrough lets a form through only where every reader of forms finds the same in it: forms that
are mutated at random, and where readers are known to differ, are read by what stores are built on.

`make forms SECONDS=600` mutates for longer, and differently each time; SEED repeats one run."""

from __future__ import annotations

import base64
import email
import email.policy
import http.client
import io
import json
import os
import random
import time
import warnings

import pytest
from werkzeug.formparser import parse_form_data

from node_reader import NodeReader
from proxies import Proxy, Settings
from recorder import Recorder
from stores import Store

SECONDS = float(os.environ.get("FORMS_SECONDS", "8"))
LEAST = 20
"""So many pass and so many are refused, however slow the machine is."""
SEED = int(os.environ.get("SEED", "1"))
"""The same each time in the full run, so that what fails there was broken by the change."""

TYPE = "multipart/form-data; boundary=----B1"
PARTS = [
    (b'Content-Disposition: form-data; name="key"', b"up/cat"),
    (b'Content-Disposition: form-data; name="policy"', b"e30="),
    (b'Content-Disposition: form-data; name="x-amz-meta-a"', b"1 2"),
    (b'Content-Disposition: form-data; name="file"; filename="cat.txt"\r\nContent-Type: text/plain',
     b"meow\r\nmeow"),
]
END = b"------B1--\r\n"


def part(headers: bytes, value: bytes) -> bytes:
    return b"------B1\r\n" + headers + b"\r\n\r\n" + value + b"\r\n"


GOOD = b"".join(part(*each) for each in PARTS) + END
OTHER_KEY = part(b'Content-Disposition: form-data; name="key"', b"once/k")
TOKENS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x0b", b"\x0c", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8",
    b"--", b"-", b"------B1", b"\r\n------B1", b"\n------B1\n", b"------B1--", b"----B1", b"B1",
    b";", b'"', b"'", b"\\", b"=", b":", b"%", b"%22", b"*", b"+", b",", b"/", b"(x)", b"\xff",
    b"\xc3\xbc", b"\xef\xbb\xbf", b"=?utf-8?q?key?=", b"; name=\"once\"", b"; name*=utf-8''key",
    b"; filename*=utf-8''x", b"; filename=\"x\"", b"; name*0=\"ke\"; name*1=\"y\"", b"; charset=utf-7",
    b"; charset=utf-16", b"; charset=iso-8859-1", b"; x=\"\\\"", b"\r\nContent-Length: 1",
    b"\r\nContent-Type: text/plain; charset=utf-7", b"\r\nContent-Transfer-Encoding: base64",
    b"\r\nContent-Type: application/octet-stream", b"\r\n folded", b"\r\nX-Y: z", OTHER_KEY,
    OTHER_KEY.replace(b'"key"', b'"Key"'), OTHER_KEY.replace(b'"key"', b"key"),
    OTHER_KEY.replace(b"\r\n", b"\n"), part(b'Content-Disposition: form-data; name="_charset_"', b"utf-7"),
    part(b'Content-Disposition: form-data; name="submit"', b"Go"), PARTS[3][0], b"key", b"file", b"up/cat",
    part(*PARTS[3]), b"form-data", b"Content-Disposition", b"name", b"filename", b"a" * 200,
]
TYPES = [
    TYPE, TYPE, TYPE, TYPE, TYPE.replace("; ", ";"), TYPE + "; charset=utf-8", TYPE + " ",
    TYPE + "; boundary=x", "multipart/form-data; boundary=\"----B1\"", TYPE + "--", TYPE + "\t",
    "Multipart/Form-Data; boundary=----B1", "multipart/form-data; boundary= ----B1",
    "multipart/form-data; boundary=----B", "multipart/form-data; boundary=--B1", TYPE + ";", TYPE + ",x",
]


def bent(chance: random.Random) -> tuple[str, bytes]:
    """A form with a few tokens put in, taken out, moved or doubled."""
    body, content_type = GOOD, TYPE
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        at = chance.randrange(len(body) + 1)
        token = chance.choice(TOKENS)
        match chance.randrange(8):
            case 0 | 1 | 2:
                body = body[:at] + token + body[at:]
            case 3:
                body = body[:at] + body[at + chance.randrange(1, 12):]
            case 4:
                body = body.replace(chance.choice(TOKENS), token, 1)
            case 5:
                value = chance.choice((b"up/cat", b"e30=", b"1 2", b"cat.txt", b"meow\r\nmeow"))
                cut = chance.randrange(len(value) + 1)
                body = body.replace(value, value[:cut] + token + value[cut:], 1)
            case 6:
                body = body[:at]
            case 7:
                content_type = chance.choice(TYPES)
    return content_type, body


def by_werkzeug(content_type: str, body: bytes) -> list:
    _, form, files = parse_form_data({
        "REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body)})
    return ([(name, value.encode("utf-8", "surrogateescape"), False)
             for name, value in form.items(multi=True)]
            + [(name, file.read(), True) for name, file in files.items(multi=True)])


def by_email(content_type: str, body: bytes) -> list:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    found = []
    for each in message.iter_parts() if message.is_multipart() else []:
        name = each.get_param("name", header="content-disposition")
        if isinstance(name, tuple):
            name = name[2]
        file_name = each.get_param("filename", header="content-disposition")
        payload = each.get_payload(decode=True) or b""
        found.append((name or "", payload, file_name is not None))
    return found


def by_cgi(content_type: str, body: bytes) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import cgi
        fields = cgi.FieldStorage(io.BytesIO(body), {"content-type": content_type,
                                                     "content-length": str(len(body))},
                                  environ={"REQUEST_METHOD": "POST"}, keep_blank_values=True)
        found = []
        for field in fields.list or []:
            content = field.file.read() if field.filename else field.value
            content = content.encode("utf-8", "replace") if isinstance(content, str) else content
            found.append((field.name or "", content, bool(field.filename)))
        return found


READERS = {"werkzeug": by_werkzeug, "email": by_email, "cgi": by_cgi}


class Busboy(NodeReader):
    """Two releases of it."""

    def __init__(self):
        super().__init__("read_forms.cjs")

    def read(self, content_type: str, body: bytes) -> dict[str, list]:
        answer = self.ask(json.dumps({"type": content_type, "body": base64.b64encode(body).decode()}))
        return {f"busboy, {release}": [(name, base64.b64decode(value), is_file)
                                       for name, value, is_file in found]
                for release, found in answer.items()}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Whether the proxy lets a form through, and which key it has guarded then."""
    recorder = Recorder()
    store = Store("recorder", recorder.url, "storekey", "storesecret")
    proxy = Proxy(tmp_path_factory.mktemp("readers"), store,
                  Settings(settle=0, signatures="passthrough"))
    proxy.wait_writable("bucket")
    connection = http.client.HTTPConnection(proxy.raw().host, proxy.raw().port, timeout=30)

    def judge(content_type: str, body: bytes) -> str | None:
        recorder.take()
        connection.request("POST", "/bucket", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 400, 501), (answer.status, text, body)
        sent = [request for request in recorder.take() if request[0] == "POST"]
        assert bool(sent) == (answer.status == 200)
        if not sent:
            return None
        assert sent[0][3] == body, "it goes on as it came"
        request_id = answer.getheader("x-amz-request-id")
        since = max(0, len(proxy.process.lines) - 20)
        line = proxy.process.wait_for_line(request_id, since=since).string
        return json.loads(line).get("key") or json.loads(line)["fields"]["key"]

    busboy = Busboy()
    yield judge, busboy
    busboy.stop()
    proxy.stop()
    recorder.stop()


def readings(busboy: Busboy, content_type: str, body: bytes) -> dict[str, list]:
    found = busboy.read(content_type, body)
    for name, read in READERS.items():
        found[name] = read(content_type, body)
    return found


def check_alike(busboy: Busboy, content_type: str, body: bytes, key: str) -> None:
    """Every reader finds this key, once and before the one file, whose content is one."""
    files = set()
    for reader, found in readings(busboy, content_type, body).items():
        told = f"{reader} in {body!r} as {content_type!r} (SEED={SEED}): {found}"
        keys = [value for name, value, _ in found if name.strip().lower() == "key"]
        assert keys == [key.encode()], f"not the key {key!r} alone is found by {told}"
        of_file = [(value, is_file) for name, value, is_file in found if name.lower() == "file"]
        assert len(of_file) == 1 and of_file[0][1], f"not one file is found by {told}"
        files.add(of_file[0][0])
        assert sum(is_file for _, _, is_file in found) == 1, f"more files are found by {told}"
    assert len(files) == 1, f"the file is read in {len(files)} ways: {body!r} (SEED={SEED})"


def test_a_good_form_passes_and_is_read_alike(judged):
    judge, busboy = judged
    for body in (GOOD, GOOD[:-2], GOOD.replace(b"up/cat", "up/\u00fc +%2B;".encode())):
        key = judge(TYPE, body)
        assert key is not None, body
        check_alike(busboy, TYPE, body, key)


def test_no_bent_form_passes_that_a_reader_reads_otherwise(judged):
    judge, busboy = judged
    chance, passed, refused = random.Random(SEED), 0, 0
    # Each token everywhere once where it matters most, then by chance.
    head = len(b"------B1\r\n") + len(PARTS[0][0]) + 4 + len(PARTS[0][1]) + 4
    first = [(TYPE, GOOD[:at] + token + GOOD[at:]) for token in TOKENS[:8] for at in range(head)]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or min(passed, refused) < LEAST:
        content_type, body = first.pop() if first and chance.random() < 0.3 else bent(chance)
        key = judge(content_type, body)
        if key is None:
            refused += 1
            continue
        passed += 1
        check_alike(busboy, content_type, body, key)
    print(f"{passed} forms passed, {refused} were refused (SEED={SEED})")
