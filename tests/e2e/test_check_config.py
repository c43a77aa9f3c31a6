"""`check-config --online`: whether what the configuration names is there and can be used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import new_bucket
from processes import free_ports
from proxies import CLIENT_SECRET, Proxy, Settings


@pytest.fixture
def looked(tmp_path):
    """What the command says of the configuration of a proxy, which need not run."""
    running: list[Proxy] = []

    def look(store, settings: Settings, running_still: bool = True, **more):
        proxy = Proxy(tmp_path / str(len(running)), store, settings, **more)
        running.append(proxy)
        if not running_still:
            proxy.stop()
        return proxy, lambda: proxy.command("check-config", "--online", "--config",
                                            str(proxy.config), timeout=60)

    yield look
    for proxy in running:
        proxy.stop()


def test_all_is_there(looked, store_named, redis_server):
    store = store_named("embedded")
    marker = f"{new_bucket(store)}/register"
    settings = Settings(register=redis_server.new_database(), marker=marker)
    proxy, look = looked(store, settings)
    proxy.skip_quarantine()
    proxy.process.wait_for_line("marker")
    done = look()
    assert done.returncode == 0, done
    store_line, register_line, marker_line = done.stdout.splitlines()
    assert store_line == f"ok: store: {store.url} accepts the credential"
    assert register_line.startswith("ok: register: redis://127.0.0.1:"), register_line
    assert register_line.endswith("can be used"), register_line
    assert marker_line == f"ok: marker: {marker} names this register"
    for secret in (CLIENT_SECRET, store.secret_key):
        assert secret not in done.stdout + done.stderr


def test_each_part_that_cannot_be_used_is_named_with_the_reason(looked, store_named, own_redis):
    store = store_named("embedded")
    proxy, look = looked(store, Settings(register=own_redis.new_database()), running_still=False)
    good = proxy.config.read_text()
    # Another secret than the store's.
    proxy.config.write_text(good.replace('secret_access_key_env = "E2E_BACKEND_SECRET"',
                                         'secret_access_key_env = "E2E_CLIENT_SECRET"'))
    done = look()
    assert done.returncode == 1 and "one part cannot be used" in done.stderr, done
    assert "not ok: store:" in done.stdout and "ok: register:" in done.stdout, done
    # Nobody listens there.
    gone = f"http://127.0.0.1:{free_ports(1)[0]}"
    proxy.config.write_text(good.replace(f'url = "{store.url}"', f'url = "{gone}"'))
    done = look()
    assert done.returncode == 1 and gone in done.stdout, done
    # One of two nodes.
    both = f'urls = ["{store.url}", "{gone}"]\nclock_skew = "50ms"'
    proxy.config.write_text(good.replace(f'url = "{store.url}"', both))
    done = look()
    assert done.returncode == 1 and "ok: store:" in done.stdout, done
    assert f"not ok: node of the store: {gone} cannot be reached" in done.stdout, done
    proxy.config.write_text(good)
    own_redis.process.kill9()
    done = look()
    assert done.returncode == 1 and "not ok: register: the register cannot be reached" in done.stdout
    assert done.stdout.startswith("ok: store:"), done


def test_a_register_in_memory_is_not_looked_at_and_a_bad_file_is_refused(looked, store_named):
    proxy, look = looked(store_named("embedded"), Settings())
    done = look()
    assert done.returncode == 0 and "ok: register: in the memory of the process" in done.stdout, done
    proxy.config.write_text(proxy.config.read_text().replace("[register]", "[register]\nlease = 1"))
    done = look()
    assert done.returncode == 2 and done.stdout == "", done


def test_a_store_that_is_not_there_is_told_in_one_sentence_and_a_wrong_secret_in_another(looked, store_named):
    """Each names what has to be looked at, and nothing else."""
    store = store_named("embedded")
    proxy, look = looked(store, Settings(register="memory:"), running_still=False)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    text = proxy.config.read_text()
    proxy.config.write_text(text.replace(store.url, f"http://{address}"))
    told = look().stdout
    assert f"cannot be used: no connection to {address}: Connection refused (os error 111). Check" in told
    proxy.config.write_text(text.replace(store.url, store.url.replace("http:", "https:")))
    told = look().stdout
    assert "it does not speak TLS on this port. Check backend.url" in told and "InvalidContentType" not in told
    proxy.config.write_text(text.replace(store.access_key, "nobody"))
    told = look().stdout
    assert "refuses our credential with InvalidAccessKeyId. Check backend.access_key_id" in told
    assert "is running" not in told
