"""The Helm chart, rendered by Helm's own engine: goldens, the schemas of Kubernetes, and the
program's word on the configuration that the pods get."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

from conftest import BINARY
from processes import ROOT

CHART = ROOT / "packaging/helm/ifmatch"
CASES = Path(__file__).parent / "charts"
NAMES = sorted(path.name.removesuffix(".values.yaml") for path in CASES.glob("*.values.yaml"))
KUBERNETES = ("1.27", "1.37")
"""The oldest and the newest version whose schemas the manifests must meet."""
WITHOUT_SCHEMA = {"ServiceMonitor"}
"""Of the Prometheus operator: not part of Kubernetes."""


def values(name: str) -> dict:
    return yaml.safe_load((CASES / f"{name}.values.yaml").read_text())


def rendered(given: dict) -> str:
    """The manifests as one text, in the order of the templates' names."""
    parts = Chart.load(CHART).render(given, name="store", namespace="data")
    return "".join(f"---\n# {path}\n{text.strip()}\n" for path, text in sorted(parts.items())
                   if text.strip() and not path.endswith("NOTES.txt"))


def manifests(name: str) -> list[dict]:
    return [each for each in yaml.safe_load_all(rendered(values(name))) if each]


def of_kind(name: str, kind: str) -> list[dict]:
    return [each for each in manifests(name) if each["kind"] == kind]


@pytest.mark.parametrize("name", NAMES)
def test_the_manifests_are_the_golden_ones(name):
    golden = CASES / f"{name}.golden.yaml"
    found = rendered(values(name))
    if os.environ.get("UPDATE_GOLDENS"):
        golden.write_text(found)
    assert found == golden.read_text(), "UPDATE_GOLDENS=1 writes the golden files anew"


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_knows_every_field(name, version):
    checked = 0
    for manifest in manifests(name):
        if manifest["kind"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(manifest, version, strict=True)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("name", NAMES)
def test_helm_lint_finds_nothing(name):
    report = lint(CHART, values(name), strict=True)
    worse = [each for each in report["messages"] if each["severity"] > 1]
    assert not worse and not report["errors"], report


@pytest.mark.parametrize("change, said", [
    ({"config": ""}, "config is missing"),
    ({"redisForTrial": {"enabled": False}}, "register.url is missing"),
    ({"redisForTrial": {}, "register": {"url": "memory:"}}, "is for one process"),
    ({"redisForTrial": {}, "register": {"url": "redis://user:secret@redis"}}, "holds a password"),
    ({"register": {"url": "redis://redis"}}, "keep one"),
    ({"redisForTrial": {}, "register": {"url": "memcached://x"}}, "url"),
    ({"replicas": 3}, "replicas"),
    ({"serviceMonitor": {"enabled": True}}, "metrics want a token"),
    ({"secrets": {"backend": {"key": "x"}}}, "existingSecret"),
])
def test_values_that_cannot_work_are_refused(change, said):
    with pytest.raises(HelmError) as refused:
        rendered(values("trial") | change)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_program_accepts_what_its_pods_get(name, tmp_path, certificate):
    """The container's files are laid out below another directory, and the paths changed to it."""
    [deployment] = of_kind(name, "Deployment")
    [configuration] = of_kind(name, "ConfigMap")
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]

    def moved(text: str) -> str:
        return text.replace("/etc/ifmatch", str(tmp_path))

    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    (tmp_path / "ifmatch.toml").write_text(moved(configuration["data"]["ifmatch.toml"]))
    for volume in pod["volumes"]:
        directory = Path(moved(mounts[volume["name"]]))
        for path in paths(volume):
            directory.mkdir(exist_ok=True)
            of_tls = certificate[path == "tls.key"].read_text()
            (directory / path).write_text(of_tls if path.startswith("tls.") else "x" * 32)
            (directory / path).chmod(0o600)
    env = {each["name"]: moved(each["value"]) for each in container["env"]}
    assert container["args"][:2] == ["serve", "--config"]
    done = subprocess.run([BINARY, "check-config", "--config", moved(container["args"][2])],
                          env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def paths(volume: dict) -> list[str]:
    """The files of Secrets in a volume."""
    if "projected" in volume:
        secrets = [source["secret"] for source in volume["projected"]["sources"]]
        return [item["path"] for secret in secrets for item in secret["items"]]
    if "secret" in volume:
        of_tls = [{"path": "tls.crt"}, {"path": "tls.key"}]
        return [item["path"] for item in volume["secret"].get("items", of_tls)]
    return []


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_in_a_manifest(name):
    """The chart makes no Secret, and each one that is named is only referred to."""
    assert not of_kind(name, "Secret")
    for deployment in of_kind(name, "Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert not [each for each in container["env"] if "SECRET" in each["name"]]
