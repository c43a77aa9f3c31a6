"""Every path in the configuration that leads to something else than it should: a sentence and an
exit status, from `check-config` as from `serve`, and soon; never a panic."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from processes import ROOT, Process
from proxies import Settings, config_text, secrets_env
from stores import BINARY, Store

CA = ROOT / "tests" / "data" / "ca.pem"
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
NO_SYSTEM_CERTIFICATES = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}


def ended(env, *arguments: str) -> str:
    """Runs a command that has to fail with words; returns them."""
    began = time.monotonic()
    done = subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=60,
                          errors="replace", env={**os.environ, **env})
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2), f"{done.returncode}: {said}"
    assert "panicked" not in said
    assert time.monotonic() - began < 20, said
    return said


def things(directory: Path) -> dict[str, Path]:
    """What a path may lead to by mistake."""
    made = {name: directory / f"thing-{name}" for name in
            ("missing", "directory", "empty", "binary", "pipe", "huge", "key")}
    made["directory"].mkdir()
    made["empty"].touch()
    made["binary"].write_bytes(bytes(range(256)) * 4)
    os.mkfifo(made["pipe"])
    with made["huge"].open("w") as file:
        file.truncate(1 << 40)
    made["key"].write_text(KEY)
    return made


@pytest.fixture
def written(tmp_path):
    """Writes a configuration with these lines put into its tables."""
    def write(url: str = "http://127.0.0.1:9", **tables: str):
        store = Store("none", url, "storekey", "store-secret-0123456789")
        (tmp_path / "spool").mkdir(exist_ok=True)
        text = config_text(store.url, store.access_key, Settings(), tmp_path)
        for table, line in tables.items():
            name = line.split(" = ")[0]
            lines = [kept for kept in text.splitlines() if not kept.startswith(f"{name} = ")]
            text = "\n".join(lines).replace(f"[{table}]\n", f"[{table}]\n{line}\n", 1)
        if "backend" in tables and "secret_access_key_file" in tables["backend"]:
            text = text.replace('secret_access_key_env = "E2E_BACKEND_SECRET"\n', "", 1)
        path = tmp_path / "ifmatch.toml"
        path.write_text(text)
        return str(path), secrets_env(store)
    return write


WRONG = {
    "ca_file": ("backend", ("missing", "directory", "empty", "binary", "pipe", "huge", "key")),
    "secret_access_key_file": ("backend", ("missing", "directory", "empty", "binary", "pipe",
                                           "huge", "key")),
    "session_token_file": ("backend", ("missing", "directory", "binary", "key")),
    "lock_file": ("register", ("directory", "pipe")),
    "spool_dir": ("body", ("missing", "empty", "pipe")),
}


@pytest.mark.parametrize("setting, kind", [(setting, kind) for setting, (_, kinds) in WRONG.items()
                                           for kind in kinds])
def test_a_setting_that_leads_to_something_else_is_refused_with_a_sentence(written, tmp_path,
                                                                           setting, kind):
    table, path = WRONG[setting][0], things(tmp_path)[kind]
    url = "https://127.0.0.1:9" if setting == "ca_file" else "http://127.0.0.1:9"
    config, env = written(url, **{table: f'{setting} = "{path}"'})
    for command in ("check-config", "serve"):
        said = ended(env, command, "--config", config)
        assert f"{table}.{setting}" in said and str(path) in said, said


@pytest.mark.parametrize("kind", ["missing", "directory", "empty", "binary", "huge", "key"])
def test_every_file_of_a_secret_that_is_another_one_is_refused_with_a_sentence(written, tmp_path,
                                                                               kind):
    path = things(tmp_path)[kind]
    at = f'"{path}"'
    config, env = written(register='timeout = "500ms"')
    text = Path(config).read_text().replace("lock_file = ", "# lock_file = ")
    text = text.replace('"memory:"', '"redis+sentinel://127.0.0.1:9/master"')
    text = text.replace("[register]\n", f"[register]\npassword_file = {at}\nsentinel_password_file = "
                                        f"{at}\n", 1)
    Path(config).write_text(text + f'\n[[client]]\naccess_key_id = "another"\n'
                                   f"secret_access_key_file = {at}\nsession_token_file = {at}\n")
    env = {**env, "IFMATCH_ACCESS_KEY_ID": "one-more",
           "IFMATCH_SECRET_ACCESS_KEY_FILE": str(path)}
    for command in ("check-config", "serve"):
        said = ended(env, command, "--config", config)
        for setting in ("register.password_file", "register.sentinel_password_file",
                        "secret_access_key_file", "session_token_file"):
            assert f'{setting}: "{path}"' in said, said


@pytest.mark.parametrize("kind", ["missing", "directory", "binary", "pipe", "huge"])
def test_a_configuration_that_is_none_is_refused_with_a_sentence(tmp_path, kind):
    path = things(tmp_path)[kind]
    for command in ("check-config", "serve"):
        assert str(path) in ended({}, command, "--config", str(path))


def test_a_place_of_a_lock_file_or_socket_that_cannot_be_is_refused(written, tmp_path):
    kinds = things(tmp_path)
    config, env = written(register=f'lock_file = "{kinds["missing"]}/lock"')
    for command in ("check-config", "serve"):
        assert "register.lock_file" in ended(env, command, "--config", config)
    for path in (kinds["empty"], kinds["directory"], "/tmp/" + 120 * "x"):
        config, env = written(register='url = "redis://127.0.0.1:9"')
        text = Path(config).read_text().replace("lock_file = ", "# lock_file = ")
        Path(config).write_text(f'upgrade_socket = "{path}"\n' + text)
        for command in ("check-config", "serve"):
            assert "upgrade_socket" in ended(env, command, "--config", config)


def test_an_embedded_store_in_a_file_s_place_is_refused_with_a_sentence(tmp_path):
    kinds = things(tmp_path)
    for kind in ("empty", "pipe"):
        said = ended({}, "serve", "--embedded", str(kinds[kind]), "--listen", "127.0.0.1:0")
        assert str(kinds[kind]) in said
        env = {"IFMATCH_STORE_ACCESS_KEY_ID": "k", "IFMATCH_STORE_SECRET_ACCESS_KEY": "s"}
        assert str(kinds[kind]) in ended(env, "store", str(kinds[kind]))
    (tmp_path / "data" / ".ifmatch-secret").mkdir(parents=True)
    said = ended({}, "serve", "--embedded", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert ".ifmatch-secret" in said


def test_without_certificates_an_http_store_is_served_and_an_https_one_has_a_sentence(
        written, plain_front):
    store = plain_front.store
    config, env = written(store.url)
    text = Path(config).read_text().replace('"storekey"', f'"{store.access_key}"')
    Path(config).write_text(text)
    env = {**env, **secrets_env(store), **NO_SYSTEM_CERTIFICATES}
    process = Process("no-certificates", [str(BINARY), "serve", "--config", config], env=env)
    process.wait_for_line(r"^listening on (http://\S+)")
    assert process.stop() == 0, process.tail()
    config, env = written("https://127.0.0.1:9")
    for command in ("check-config", "serve"):
        said = ended({**env, **NO_SYSTEM_CERTIFICATES}, command, "--config", config)
        assert "backend.ca_file" in said and "the system" in said, said
    # With a file of its own the system's are not asked for.
    config, env = written("https://127.0.0.1:9", backend=f'ca_file = "{CA}"')
    done = subprocess.run([str(BINARY), "check-config", "--config", config], capture_output=True,
                          env={**os.environ, **env, **NO_SYSTEM_CERTIFICATES}, timeout=60)
    assert done.returncode == 0, done.stderr


def test_files_with_other_line_ends_a_byte_order_mark_or_from_a_pipe_are_read(written, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("store-secret-0123456789\r\n")
    secret.chmod(0o600)
    config, env = written(backend=f'secret_access_key_file = "{secret}"')
    text = Path(config).read_text()
    Path(config).write_text("\ufeff" + text.replace("\n", "\r\n"))
    done = subprocess.run([str(BINARY), "check-config", "--config", config], capture_output=True,
                          env={**os.environ, **env}, timeout=60, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    command = f"exec {BINARY} check-config --config <(sleep 1; cat {config})"
    done = subprocess.run(["bash", "-c", command], capture_output=True,
                          env={**os.environ, **env}, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
