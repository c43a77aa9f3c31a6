"""With `log.format = "json"` a serving process writes JSON objects and nothing else, whatever happens to it."""

from __future__ import annotations

import datetime
import json
import signal
import socket

import pytest

from processes import NotReady, Process
from proxies import Proxy, Settings
from redis_server import until
from relay import Relay
from stores import BINARY
from test_reload import change, reload


def is_sound(line: str) -> dict:
    """The line as an object, which has what each line must have."""
    record = json.loads(line)
    assert isinstance(record, dict), line
    when = datetime.datetime.fromisoformat(record["timestamp"])
    assert when.utcoffset() == datetime.timedelta(0), line
    assert record["level"] in ("ERROR", "WARN", "INFO", "DEBUG", "TRACE"), line
    assert record["message"], line
    return record


def messages(process: Process) -> list[str]:
    """Of every line that the process wrote, each of which is sound."""
    assert process.stdout == [], "the log goes to standard error"
    return [is_sound(line)["message"] for line in list(process.lines)]


@pytest.mark.parametrize("level", ["debug", "error"])
def test_every_line_of_a_serving_process_is_json(store, own_redis, tmp_path, level):
    """It begins in quarantine, is reloaded with good and bad files, loses Redis and the store, and is ended."""
    relay = Relay(store.store.url)
    [redis_relay], url = own_redis.relayed(own_redis.new_database())
    proxy = Proxy(tmp_path, store.store, Settings(register=url, log_level=level, settle=2),
                  backend_url=relay.url)
    raw = proxy.raw()
    assert raw.put("/bucket/early", b"x").status == 503
    change(proxy, ("strangers = 256", "strangers = 7"))
    proxy.process.signal(signal.SIGHUP)
    until("it is reloaded", lambda: level == "error" or said(proxy, "was reloaded"))
    good = proxy.config.read_text()
    for bad in ("this is not TOML", good.replace('dialect = "aws"', 'dialect = "latin"')):
        proxy.config.write_text(bad)
        assert reload(proxy)[-1]["level"] == "ERROR"
    proxy.config.write_text(good)
    proxy.skip_quarantine()
    proxy.wait_writable("bucket")
    # Redis is cut off, then the store; a client speaks no HTTP.
    redis_relay.refuse()
    redis_relay.cut()
    assert raw.put("/bucket/late", b"x").status == 503
    relay.refuse()
    relay.cut()
    assert raw.get("/bucket/late").status == 503
    with socket.create_connection((raw.host, raw.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    assert proxy.stop() == 0
    redis_relay.close()
    relay.close()
    told = messages(proxy.process)
    for words in ("listening on http://127.0.0.1:", "writes are answered 503 for the next ",
                  "the configuration was not reloaded", "request"):
        assert any(message.startswith(words) for message in told), words


def said(proxy: Proxy, words: str) -> bool:
    return any(words in line for line in list(proxy.process.lines))


def test_what_ends_a_start_is_json(store, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NotReady) as refused:
            Proxy(tmp_path, store.store, Settings(admin=address))
    lines = str(refused.value).splitlines()[1:]
    last = [is_sound(line) for line in lines][-1]
    assert last["level"] == "ERROR", last
    assert last["message"].startswith(f"the admin listener cannot listen on {address}"), last


def test_a_store_in_the_process_is_told_of_without_its_secret(tmp_path):
    """As text its secret is shown to who tries it. A log is read by others."""
    directory = tmp_path / "data"
    command = [str(BINARY), "serve", "--embedded", str(directory), "--listen", "127.0.0.1:0"]
    process = Process("json-embedded", [*command, "--log-format", "json"])
    try:
        process.wait_for_line(r"^listening on http://\S+")
    finally:
        assert process.stop() == 0
    messages(process)
    secret = (directory / ".ifmatch-secret").read_text().strip()
    assert secret and secret not in "".join(process.lines)
