"""The safe local policy: what it grants, and that it never touches what is its owner's."""

import json
import stat
from collections.abc import Callable

import pytest

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.local_policy import OUTBOUND_FILTER, authorization, environment, resources, write_local_policy
from fedvoxel.privacy.policy import PRIVACY_FILE, NoBudget, grant, load_privacy_policy
from tests.consortium_kits import SERVER

Copy = Callable[[str], Kit]


@pytest.mark.parametrize("kind", ["server", "site"])
def test_nobody_brings_code_or_reads_files(kind: str) -> None:
    for rights in authorization(kind)["permissions"].values():  # type: ignore[arg-type]
        assert rights["byoc"] == rights["shell_commands"] == rights["server-predeployed-flwr"] == "none"
        assert len(rights) == 9


def test_each_role_has_its_rights_and_no_more() -> None:
    server, site = authorization("server")["permissions"], authorization("site")["permissions"]
    assert {role for role in server if server[role]["submit_job"] != "none"} == {"lead"}
    assert server["lead"]["download_job"] == "n:submitter"
    assert {right for right, rule in server["member"].items() if rule != "none"} == {"view"}
    assert server["project_admin"]["operate"] == "any"
    assert {role: site[role]["operate"] for role in site} == {
        "project_admin": "o:site",
        "org_admin": "o:site",
        "lead": "none",
        "member": "none",
    }


def test_flare_accepts_the_permissions() -> None:
    from nvflare.security.security import FLAuthorizer

    for kind in ("server", "site"):
        FLAuthorizer("hospital_a", authorization(kind))  # type: ignore[arg-type]


def test_further_classes_are_added_once() -> None:
    made = resources({"components": []}, "site", ("a.B", "a.B"))
    assert made["class_allow_list"].count("a.B") == 1


def test_log_streaming_goes_and_the_rest_stays() -> None:
    shipped = {"components": [{"id": "site_log_streamer"}, {"id": "resource_manager"}], "client": {"retry_timeout": 30}}
    made = resources(shipped, "site")
    assert [part["id"] for part in made["components"]] == [
        "resource_manager",
        "audit_keeper",
        "certificate_keeper",
        "app_deployer",
    ]
    assert made["client"] == {"retry_timeout": 30, "communication_timeout": 60.0}
    assert made["allow_log_streaming"] is False
    assert len(shipped["components"]) == 2


def test_the_server_waits_seconds_for_a_lost_site() -> None:
    assert "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT=15\n" in environment("server")
    assert "TIMEOUT" not in environment("site")
    for kind in ("server", "site"):
        assert "NVFLARE_STREAMING_CHUNK_SIZE=65536\n" in environment(kind)
        assert "NVFLARE_STREAMING_RETRY_WAIT=30\n" in environment(kind), "a thin line would carry everything twice"
        assert "NVFLARE_STREAMING_WINDOW_SIZE=16777216\n" in environment(kind), "more than 1024 buffers: a warning"


def test_writing_again_changes_nothing(kit: Copy) -> None:
    for name in ("hospital-a", SERVER):
        opened = kit(name)
        before = {path.name: path.read_bytes() for path in opened.local.iterdir()}
        write_local_policy(opened)
        assert {path.name: path.read_bytes() for path in opened.local.iterdir()} == before


def test_the_owners_files_are_left_alone(kit: Copy) -> None:
    site = kit("hospital-a")
    names = ("resources.json", "authorization.json", "privacy.json", PRIVACY_FILE)
    own = {name: f'{{"mine": "{name}"}}' for name in names}
    for name, content in own.items():
        (site.local / name).write_text(content)
    key = json.loads((site.local / "fedvoxel_site.json").read_text())["pseudonym_key"]
    write_local_policy(site)
    assert {name: (site.local / name).read_text() for name in own} == own
    assert json.loads((site.local / "fedvoxel_site.json").read_text())["pseudonym_key"] == key


def test_a_new_sites_policy_grants_nothing(kit: Copy) -> None:
    site = kit("hospital-a")
    path = site.local / PRIVACY_FILE
    assert json.loads(path.read_text()) == {"schema_version": 1, "cohorts": {}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (kit(SERVER).local / PRIVACY_FILE).exists()


def test_a_policy_is_written_only_where_it_is_missing(kit: Copy) -> None:
    site = kit("hospital-a")
    grant(site.local, "demo", NoBudget())
    assert PRIVACY_FILE not in write_local_policy(site)
    assert load_privacy_policy(site.local).cohorts == {"demo": NoBudget()}
    (site.local / PRIVACY_FILE).unlink()
    assert PRIVACY_FILE in write_local_policy(site)
    assert load_privacy_policy(site.local).cohorts == {}


def test_whatever_leaves_a_site_passes_our_filter(kit: Copy) -> None:
    for name, filters in (("hospital-a", [OUTBOUND_FILTER]), (SERVER, [])):
        (scope,) = json.loads((kit(name).local / "privacy.json").read_text())["scopes"]
        assert scope["task_result_filters"] == filters and scope["task_data_filters"] == []


def test_a_site_gets_a_secret_key_of_its_own(kit: Copy) -> None:
    from fedvoxel.volumes.site import load_site_config

    keys = set()
    for name in ("hospital-a", "hospital-b"):
        path = kit(name).local / "fedvoxel_site.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        keys.add(load_site_config(path).pseudonym_key.get_secret_value())
    assert len(keys) == 2


def test_a_person_has_no_policy(kit: Copy) -> None:
    with pytest.raises(ConsortiumError, match="a person's"):
        write_local_policy(kit("scientist@consortium.example"))


def test_a_kit_without_flares_resources_is_refused(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.local / "resources.json.default").write_text("{}")
    with pytest.raises(ConsortiumError, match="lists no components"):
        write_local_policy(site)
    (site.local / "resources.json.default").unlink()
    with pytest.raises(ConsortiumError, match="is missing"):
        write_local_policy(site)
