"""The units, images and chart values are what they say, by the tools of those who will run them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.governance.consortium import Consortium
from tests.consortium_kits import SERVER, small_consortium

PROVISIONING = Path(__file__).resolve().parents[2] / "provisioning"
UNITS = sorted((PROVISIONING / "systemd").glob("*.service"))
CONTAINERFILE = PROVISIONING / "containers" / "Containerfile"
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
    assert first == "*" and {line for line in allowed if line.startswith("!")} == {
        "!app_custom",
        "!constraints.txt",
        "!constraints-pipelines.txt",
        "!constraints-serve.txt",
        "!LICENSE",
        "!pyproject.toml",
        "!README.md",
    }


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


@pytest.mark.skipif(shutil.which("helm") is None, reason="needs helm, which is in no package registry of CI")
def test_helm_takes_the_chart_with_the_values(charts: dict[str, Path]) -> None:
    for name, chart in charts.items():
        with_values = [str(chart / "helm_chart"), "-f", str(KUBERNETES / "values.yaml")]
        told = run("helm", "lint", "--strict", *with_values)
        assert told.returncode == 0, told.stdout
        made = run("helm", "template", "x", *with_values)
        kinds = {one["kind"]: one for one in yaml.safe_load_all(made.stdout) if one}
        pod = kinds["Deployment"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["containers"][0]["resources"]["limits"], name


def test_nothing_comes_into_the_cluster_but_to_the_servers_port(consortium: Consortium) -> None:
    namespace, nothing, server = yaml.safe_load_all((KUBERNETES / "cluster.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert nothing["spec"]["podSelector"] == {} and nothing["spec"]["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert server["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": SERVER}
    assert [port["port"] for rule in server["spec"]["ingress"] for port in rule["ports"]] == [8002]
