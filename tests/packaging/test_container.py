"""The image's files, without a builder of images: a linter, the Compose specification, and a root
directory made by hand as the Containerfile says, in which the program serves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from clients import Raw
from conftest import BINARY
from processes import ROOT, NotReady, Process, free_ports
from service import ACCESS_KEY, SECRET

FILES = ROOT / "packaging/container"
USER = 65532


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage, as their names and the rest of the line."""
    text = re.sub(r"^\s*#.*\n", "", (FILES / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    stages: list[list[tuple[str, str]]] = []
    for line in filter(str.strip, lines):
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    return stages[stage]


def only(name: str) -> str:
    [found] = [rest for each, rest in instructions(-1) if each == name]
    return found


def test_hadolint_finds_nothing():
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, FILES / "Containerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_compose_file_is_one():
    text = (FILES / "compose.yaml").read_text()
    PyCompose.from_yaml(text)
    with pytest.raises(ValueError):
        PyCompose.from_yaml(text.replace("depends_on:", "depends_un:"))
    services = yaml.safe_load(text)["services"]
    assert "noeviction" in services["redis"]["command"]
    for name in ("ifmatch", "store"):
        build = services[name]["build"]
        assert (FILES / build["context"] / build["dockerfile"]).is_file()


def test_the_build_gets_all_that_it_needs(tmp_path):
    """The files that .dockerignore lets through are a package that cargo understands."""
    ignored = (FILES / "Containerfile.dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored and len(kept) > 5
    for name in kept:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    done = subprocess.run(["cargo", "metadata", "--locked", "--offline", "--format-version=1",
                           "--filter-platform=x86_64-unknown-linux-gnu"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    included = re.compile(r'include_(?:str|bytes)!\("([^"]+)"\)')
    for source in (tmp_path / "src").rglob("*.rs"):
        if "tests" in source.relative_to(tmp_path).as_posix():
            continue
        code = source.read_text().split("#[cfg(test)]")[0]
        for name in included.findall(code):
            assert (source.parent / name).is_file(), f"{source}: {name}"


@pytest.fixture
def image(tmp_path):
    """The root of the image: the base has a C library, as distroless/cc has, and here no
    certificates; above it is what the last stage copies out of the first."""
    if os.geteuid() != 0:
        pytest.skip("only root can change the root directory")
    root = tmp_path / "root"
    for line in subprocess.run(["ldd", BINARY], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        if library := re.search(r"(/\S+)", line):
            target = root / library[1].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library[1], target)
    made = {"usr/bin/ifmatch": BINARY, "etc/ifmatch": FILES / "ifmatch.toml", "var/lib/ifmatch": None}
    for name, rest in instructions(-1):
        if name != "COPY":
            continue
        *options, source, target = rest.split()
        content = made.pop(source.removeprefix("/image/"))
        path = root / target.lstrip("/")
        if content is None:
            path.mkdir(parents=True)
        elif content == BINARY:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(content, path)
        else:
            path.mkdir(parents=True)
            shutil.copy(content, path)
        for option in options:
            if owner := re.fullmatch(r"--chown=(\d+):(\d+)", option):
                os.chown(path, int(owner[1]), int(owner[2]))
    assert not made, f"not copied: {made}"
    # What a container has without being told.
    (root / "dev").mkdir()
    return root


def variables(given: dict[str, str]) -> dict[str, str]:
    """Those of the image, and those that are given to the container."""
    of_image = dict(rest.split("=", 1) for name, rest in instructions(-1) if name == "ENV")
    return {**of_image, **given}


def started(root: Path, environment: dict[str, str]) -> Process:
    """Runs what the image runs, as its user, on a read-only root; its volume alone can be written."""
    command = json.loads(only("ENTRYPOINT")) + json.loads(only("CMD"))
    user, group = only("USER").split(":")
    volume = root / only("VOLUME").lstrip("/")
    inside = " && ".join((
        f"mount --bind {root} {root}",
        f"mount --bind {volume} {volume}",
        f"mount --bind /dev {root}/dev",
        f"mount -o remount,bind,ro {root}",
        f"exec chroot --userspec={user}:{group} --groups= {root} {' '.join(command)}",
    ))
    given = [f"{name}={value}" for name, value in variables(environment).items()]
    return Process("image", ["env", "-i", *given, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "unshare",
                             "--mount", "sh", "-c", inside])


@pytest.mark.skipif(BINARY.parent.name != "release", reason="a debug binary is larger")
def test_the_program_is_small():
    assert BINARY.stat().st_size < 30_000_000


def test_the_program_serves_as_the_image_runs_it(image, store):
    secrets = image / "run/secrets"
    secrets.mkdir(parents=True)
    for name, secret in (("store", store.secret_key), ("app", SECRET)):
        (secrets / name).write_text(secret)
        os.chown(secrets / name, USER, USER)
        (secrets / name).chmod(0o600)
    environment = {
        # The image's own addresses may be taken on this machine.
        "IFMATCH_LISTEN": "127.0.0.1:0",
        "IFMATCH_ADMIN_LISTEN": f"127.0.0.1:{free_ports(1)[0]}",
        "IFMATCH_BACKEND_URL": store.url,
        "IFMATCH_BACKEND_ACCESS_KEY_ID": store.access_key,
        "IFMATCH_BACKEND_SECRET_ACCESS_KEY_FILE": "/run/secrets/store",
        "IFMATCH_ACCESS_KEY_ID": ACCESS_KEY,
        "IFMATCH_SECRET_ACCESS_KEY_FILE": "/run/secrets/app",
        "IFMATCH_REGISTER_SETTLE": "1s",
        "IFMATCH_REGISTER_SETTLE_LONG": "1s",
    }
    process = started(image, environment)
    try:
        url = process.wait_for_line(r"^listening on (http://\S+)")[1]
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(rf"^Uid:\s+{USER}\s+{USER}\s", status, re.MULTILINE)
        app = Raw(url, ACCESS_KEY, SECRET)
        assert app.put("/image").status == 200
        assert app.get("/image?list-type=2").status == 200
        check = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
        health = subprocess.run(["chroot", image, *check], capture_output=True, text=True,
                                env={**os.environ, **variables(environment)}, timeout=30)
        assert health.returncode == 0, health.stdout + health.stderr
        # Bodies that do not fit into memory go to the volume.
        assert list((image / "var/lib/ifmatch").iterdir()), "nothing was written to the volume"
    finally:
        process.stop()


def test_the_image_says_what_is_missing(image):
    process = started(image, {"IFMATCH_LISTEN": "127.0.0.1:0"})
    with pytest.raises(NotReady, match="backend.url"):
        process.wait_for_line("listening on")
    assert process.stop() == 2
