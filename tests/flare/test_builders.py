"""Provisioning: what is in the kits, who may read what, and that a second run keeps what must be kept."""

import importlib
import json
import os
import pkgutil
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import fedvoxel.flare
from fedvoxel.cli.main import main
from fedvoxel.errors import ConfigError, ConsortiumError
from fedvoxel.flare.kit_filters import check_filter_classes
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.flare.kit_process import kit_command, kit_environment
from fedvoxel.flare.kit_storage import KitStorage
from fedvoxel.flare.provisioning import create_consortium, kits_to_fill
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE
from fedvoxel.governance.certificate_register import Register
from fedvoxel.governance.consortium import Consortium, load_consortium
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.ledger_presence import MOVE_FILE, check_ledgers, check_note
from fedvoxel.governance.list_places import kits_in, put_renewed, put_shared
from fedvoxel.governance.local_policy import JOB_CLASSES, OPTIONAL_CLASSES, OUTBOUND_FILTER
from fedvoxel.governance.own_components import OWN_COMPONENTS
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, grant, load_privacy_policy
from tests.consortium_kits import PASSPHRASE, SERVER, consortium_file, free_port, small_consortium


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Kits that the tests read but do not change; made by somebody whose umask closes everything to others."""
    before = os.umask(0o077)
    try:
        return small_consortium(tmp_path_factory.mktemp("consortium"))
    finally:
        os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_authoritys_key_is_encrypted_and_everyones_own_is_in_their_kit_alone(consortium: Consortium) -> None:
    authority = consortium.workspace / "authority"
    assert _mode(authority) == 0o700
    assert (authority / "rootCA.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    names = (SERVER, *consortium.sites, "scientist@consortium.example", "admin@consortium.example")
    keys = {open_kit(consortium.kit(name)).private_key for name in names}
    assert {_mode(path) for path in (*keys, authority / "rootCA.key")} == {0o600}
    holding = {
        path for path in consortium.workspace.rglob("*") if path.is_file() and b"PRIVATE KEY-" in path.read_bytes()
    }
    assert holding == {*keys, authority / "rootCA.key"}, "no other file holds a private key"


@pytest.mark.usefixtures("owners_umask")
def test_what_others_check_signatures_with_is_for_them_to_read_whatever_the_umask(
    consortium: Consortium, tmp_path: Path
) -> None:
    workspace = Path(shutil.copytree(consortium.workspace, tmp_path / "workspace"))
    kits = list(kits_in(workspace))
    shared = {kit.startup / name for kit in kits for name in (kit.certificate.name, "rootCA.pem", "crl.pem")}
    assert {_mode(path) for path in shared} == {0o644} and len(kits) == 3 + len(consortium.sites)
    for kit in kits:
        (kit.startup / "crl.pem").chmod(0o600)
    assert len(put_shared(workspace)) == len(kits)
    renewed = put_renewed(workspace, "hospital-a", b"a certificate")
    (server,) = (kit for kit in kits if kit.kind == "server")
    assert {_mode(path) for path in (*shared, renewed, server.startup / "renewed" / renewed.name)} == {0o644}


def test_the_server_listens_on_loopback_and_sites_dial_its_host(consortium: Consortium) -> None:
    server = json.loads((consortium.server_kit / "startup" / "fed_server.json").read_text())["servers"][0]
    site = json.loads((consortium.kit("hospital-a") / "startup" / "fed_client.json").read_text())["servers"][0]
    assert server["service"]["target"].startswith("127.0.0.1:")
    assert site["service"]["target"].startswith("localhost:")
    assert site["identity"] == SERVER


def test_the_kits_hold_the_safe_policy(consortium: Consortium) -> None:
    for name in (SERVER, *consortium.sites):
        local = consortium.kit(name) / "local"
        values = json.loads((local / "resources.json.default").read_text())
        assert values["class_allow_list"] == [*JOB_CLASSES, *OPTIONAL_CLASSES]
        assert values["class_list_enforcement_mode"] == "enforce"
        assert values["allow_log_streaming"] is False
        assert not (local / "privacy.json.sample").exists()
        assert json.loads((local / "privacy.json").read_text())["default_scope"] == "fedvoxel"


def test_a_lost_answer_is_asked_for_again_after_a_minute(consortium: Consortium) -> None:
    for name in consortium.sites:
        values = json.loads((consortium.kit(name) / "local" / "resources.json.default").read_text())
        assert values["client"]["communication_timeout"] == 60.0
        startup = json.loads((consortium.kit(name) / "startup" / "fed_client.json").read_text())
        assert "communication_timeout" not in startup["client"], "it would count instead"


def test_a_dead_job_process_is_started_again_and_a_restarted_site_is_taken_back(consortium: Consortium) -> None:
    def parts(name: str) -> dict[str, str]:
        values = json.loads((consortium.kit(name) / "local" / "resources.json.default").read_text())
        return {part["id"]: part.get("path") for part in values["components"]}

    for name in consortium.sites:
        assert parts(name)["process_launcher"] == "fedvoxel.flare.restarted_job.RestartingJobLauncher"
        assert "returning_sites" not in parts(name)
    assert parts(SERVER)["returning_sites"] == "fedvoxel.flare.returning_sites.ReturningSites"
    assert parts(SERVER)["process_launcher"].endswith("ServerProcessJobLauncher")


def test_nothing_of_the_making_is_left(consortium: Consortium) -> None:
    assert sorted(path.name for path in consortium.workspace.iterdir()) == ["authority", "consortium.json", "small"]
    assert sorted(path.name for path in (consortium.workspace / "small").iterdir()) == ["prod_00"]


def test_an_unchanged_file_leaves_the_kits_alone(tmp_path: Path) -> None:
    made = small_consortium(tmp_path)
    mark = made.kit("hospital-a") / "mark"
    mark.touch()
    again = create_consortium(tmp_path / "consortium.yml", tmp_path / "workspace", passphrase=PASSPHRASE)
    assert again.folder == made.folder
    assert mark.exists()


def test_a_changed_file_keeps_authority_certificates_and_pseudonyms(tmp_path: Path) -> None:
    before = small_consortium(tmp_path)
    site_file = before.kit("hospital-a") / "local" / "fedvoxel_site.json"
    own = json.loads(site_file.read_text()) | {"compute": {"threads": 3, "device": "cpu"}}
    site_file.write_text(json.dumps(own))
    budget = CohortBudget(unit="patient", epsilon=8, delta=1e-4)
    grant(site_file.parent, "hippocampus", budget)
    text = (tmp_path / "consortium.yml").read_text()
    added = "  - {name: hospital-c, type: client, org: hospital_c}\n  - {name: admin@"
    (tmp_path / "consortium.yml").write_text(text.replace("  - {name: admin@", added))
    after = create_consortium(tmp_path / "consortium.yml", tmp_path / "workspace", passphrase=PASSPHRASE)
    assert after.folder.name == "prod_01"
    assert after.sites == ("hospital-a", "hospital-b", "hospital-c")
    for name in ("startup/rootCA.pem", "startup/client.crt"):
        assert (after.kit("hospital-a") / name).read_bytes() == (before.kit("hospital-a") / name).read_bytes()
    kept = after.kit("hospital-a") / "local" / "fedvoxel_site.json"
    assert json.loads(kept.read_text()) == own
    assert _mode(kept) == 0o600
    assert load_privacy_policy(kept.parent).cohorts == {"hippocampus": budget}


def spend(kit: Path) -> bytes:
    """Grants a budget at a site, spends some of it and returns the ledger's lines."""
    grant(kit / "local", "hippocampus", CohortBudget(unit="patient", epsilon=8, delta=1e-3))
    ledger = open_ledger(kit / "local", kit / "state", "hippocampus")
    event = GaussianEvent(noise_multiplier=5, sampling_probability=1, count=1)
    ledger.reserve("run", "job", 0, RunPlan(unit="patient", event=event, draws=1, delta=1e-3))
    return (kit / "state/privacy/hippocampus/ledger.jsonl").read_bytes()


def test_a_kit_made_anew_grants_nothing_until_its_ledger_is_moved_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = small_consortium(tmp_path)
    lines = spend(before.kit("hospital-a"))
    (before.server_kit / "state" / "privacy").mkdir(parents=True)
    (before.server_kit / "state" / "privacy" / "server.jsonl").touch()
    for times in (1, 2):
        text = (tmp_path / "consortium.yml").read_text()
        added = f"  - {{name: hospital-{times}, type: client, org: h_{times}}}\n  - {{name: admin@"
        (tmp_path / "consortium.yml").write_text(text.replace("  - {name: admin@", added))
        words = ["consortium", "create", str(tmp_path / "consortium.yml"), "-w", str(tmp_path / "workspace")]
        monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
        assert main(words) == 0
        assert f"hospital-a has a privacy ledger in a kit before: {MOVE_FILE}" in capsys.readouterr().out
        after = load_consortium(tmp_path / "workspace")
        new = after.kit("hospital-a")
        assert new.parent.name == f"prod_0{times}"
        assert load_privacy_policy(new / "local").cohorts == {}, "a budget without its ledger is granted anew"
        assert kits_to_fill(after) == [SERVER, "hospital-a"]
        assert "state/privacy/" in (new / MOVE_FILE).read_text() and PRIVACY_FILE in (new / MOVE_FILE).read_text()
        assert not (after.kit("hospital-b") / MOVE_FILE).exists()
        assert any(MOVE_FILE in finding.message for finding in check_note(open_kit(new)))
        kept = (before.kit("hospital-a") / "state/privacy/hippocampus/ledger.jsonl").read_bytes()
        assert kept == lines, "the ledger is not touched"
    (before.kit("hospital-a") / "state/privacy").rename(new / "state/privacy")
    (before.kit("hospital-a") / "local" / PRIVACY_FILE).replace(new / "local" / PRIVACY_FILE)
    (new / MOVE_FILE).unlink()
    assert open_ledger(new / "local", new / "state", "hippocampus").verify() == ()
    assert check_note(open_kit(new)) == [] == check_ledgers(open_kit(new), ["hippocampus"])


def test_a_failure_leaves_the_good_kits(tmp_path: Path) -> None:
    made = small_consortium(tmp_path)
    record, register = made.workspace / "consortium.json", made.workspace / "authority/register/certificates.jsonl"
    before = record.read_bytes(), register.read_bytes()
    text = (tmp_path / "consortium.yml").read_text()
    (tmp_path / "consortium.yml").write_text(text.replace("role: lead", "role: member"))
    with pytest.raises(
        ConsortiumError, match="as lead of consortium, and the file says member of consortium; withdraw"
    ):
        create_consortium(tmp_path / "consortium.yml", tmp_path / "workspace", passphrase=PASSPHRASE)
    assert (record.read_bytes(), register.read_bytes()) == before
    assert sorted(path.name for path in made.workspace.iterdir()) == ["authority", "consortium.json", "small"]


def test_an_authority_of_flares_goes_on_without_its_unencrypted_keys(tmp_path: Path) -> None:
    """Kits made with FLARE's own authority stay valid: root and certificates are the same afterwards."""
    path = consortium_file(tmp_path)
    text = path.read_text()
    flares = text.replace("fedvoxel.flare.builders.CertificateBuilder", "nvflare.lighter.impl.cert.CertBuilder")
    (tmp_path / "flares.yml").write_text(flares.replace("  - path: fedvoxel.flare.builders.SitePolicyBuilder\n", ""))
    words = ["provision", "-p", str(tmp_path / "flares.yml"), "-w", str(tmp_path / "workspace"), "--force"]
    environment = child_environment({"HOME": str(tmp_path)})
    command = [sys.executable, "-m", "nvflare.cli", *words]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)
    state = tmp_path / "workspace" / "small" / "state" / "cert.json"
    before = json.loads(state.read_text())
    with pytest.raises(ConsortiumError, match="give a passphrase"):
        create_consortium(path, tmp_path / "workspace")
    made = create_consortium(path, tmp_path / "workspace", passphrase=PASSPHRASE)
    assert (made.kit("hospital-a") / "startup" / "rootCA.pem").read_text() == before["root_cert"]
    assert not state.exists()
    issued = Register(made.workspace / "authority").issued()
    assert before["hospital-a"]["cert"].encode() in [
        one.certificate.public_bytes(serialization.Encoding.PEM) for one in issued
    ]


def test_nobody_is_added_without_the_passphrase(tmp_path: Path) -> None:
    made = small_consortium(tmp_path)
    text = (tmp_path / "consortium.yml").read_text()
    added = "  - {name: hospital-c, type: client, org: hospital_c}\n  - {name: admin@"
    (tmp_path / "consortium.yml").write_text(text.replace("  - {name: admin@", added))
    for passphrase in (None, "not the passphrase"):
        with pytest.raises(ConsortiumError, match="does not open"):
            create_consortium(tmp_path / "consortium.yml", tmp_path / "workspace", passphrase=passphrase)
    assert load_consortium(made.workspace).sites == made.sites


def test_another_port_is_in_every_kit(tmp_path: Path) -> None:
    port = free_port()
    made = create_consortium(consortium_file(tmp_path), tmp_path / "workspace", port=port)
    for name in (SERVER, *made.sites, "admin@consortium.example"):
        assert open_kit(made.kit(name)).server.port == port


def test_a_workspace_with_a_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConsortiumError, match="space"):
        create_consortium(consortium_file(tmp_path), tmp_path / "my kits")


def test_the_class_list_names_every_component_of_ours_and_nothing_else() -> None:
    """A new component must be added to JOB_CLASSES, or jobs that use it are refused; our filter is the site's own."""
    from nvflare.apis.fl_component import FLComponent

    components = set()
    for module in pkgutil.iter_modules(fedvoxel.flare.__path__, "fedvoxel.flare."):
        for name, found in vars(importlib.import_module(module.name)).items():
            if isinstance(found, type) and found.__module__ == module.name and issubclass(found, FLComponent):
                components.add(f"{module.name}.{name}")
    listed = {*JOB_CLASSES, *OPTIONAL_CLASSES}
    unlisted = {path for path in components if path not in listed and not _is_base(path, components)}
    assert listed <= components
    kits_own = {part["path"] for own in OWN_COMPONENTS.values() for part in own}
    kits_own |= {OUTBOUND_FILTER["path"], "fedvoxel.flare.restarted_job.RestartingJobLauncher"}
    assert all(isinstance(_load(path), type) for path in kits_own), "each is there"
    assert unlisted == kits_own & components, "add them to fedvoxel.governance.local_policy.JOB_CLASSES"


def _is_base(path: str, components: set[str]) -> bool:
    """Says whether other components of ours derive from this one, so that no job names it."""
    module, _, name = path.rpartition(".")
    base = getattr(importlib.import_module(module), name)
    return any(issubclass(_load(other), base) for other in components if other != path)


def _load(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


@pytest.mark.parametrize("folder", ["/tmp/jobs", "../jobs", "state/../../jobs"])  # noqa: S108
def test_storage_stays_in_the_kit(folder: str) -> None:
    with pytest.raises(ConfigError, match="inside the kit"):
        KitStorage(folder)


def test_storage_is_where_the_kit_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = KitStorage("state/jobs")
    storage.create_object("/one", b"data", {"a": 1})
    assert (tmp_path / "state" / "jobs" / "one" / "data").read_bytes() == b"data"


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars"}, None),
        ({"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {"exclude_vars": ["a"]}}, None),
        ({"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {"vars": []}}, "cannot be built"),
        ({"path": "nvflare.app_common.statistics.min_max_cleanser.AddNoiseToMinMax"}, "not a FLARE Filter"),
        ({"path": "nvflare.app_common.filters.bad_model_detector.BadModelDetector"}, "does not exist"),
        ({"path": "os.path.join"}, "not a FLARE Filter"),
    ],
)
def test_filters_that_would_end_every_job_are_found(entry: dict[str, object], complaint: str | None) -> None:
    found = check_filter_classes([entry])
    assert [complaint in finding.message for finding in found if complaint] == ([True] if complaint else [])
    assert bool(found) == bool(complaint)


def test_the_outbound_filter_is_one_that_flare_can_build() -> None:
    assert check_filter_classes([OUTBOUND_FILTER]) == []


def test_a_kits_command_uses_this_python_and_its_own_environment(consortium: Consortium) -> None:
    import sys

    site, server = open_kit(consortium.kit("hospital-a")), open_kit(consortium.server_kit)
    command = kit_command(site)
    assert command[0] == sys.executable
    assert {"uid=hospital-a", "org=hospital_a", "secure_train=true", "heart_beat_interval=3"} <= set(command)
    assert not any(word.startswith("uid=") for word in kit_command(server))
    assert kit_environment(server)["NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT"] == "15"
    with pytest.raises(ConsortiumError, match="a person's"):
        kit_command(open_kit(consortium.kit("admin@consortium.example")))


def test_a_broken_environment_file_is_refused(tmp_path: Path) -> None:
    kit = open_kit(small_consortium(tmp_path).kit("hospital-a"))
    (kit.local / "environment").write_text("rm -rf /\n")
    with pytest.raises(ConsortiumError, match="not KEY=VALUE"):
        kit_environment(kit)
