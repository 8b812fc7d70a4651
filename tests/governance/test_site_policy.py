"""What is wrong with a kit's policy is found before FLARE stumbles over it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fedvoxel.governance.class_list import is_allowed
from fedvoxel.governance.finding import has_errors
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.local_policy import JOB_CLASSES, OUTBOUND_FILTER
from fedvoxel.governance.site_policy import check_policy, privacy_filters
from tests.consortium_kits import SERVER

Copy = Callable[[str], Kit]
STREAMER = {"id": "log", "path": "nvflare.app_common.logging.site_log_streamer.SiteLogStreamer"}
# What FLARE 2.9 ships as privacy.json.sample, shortened.
SAMPLE = {
    "scopes": [
        {"name": "public", "task_result_filters": [{"name": "AddNoiseToMinMax"}], "task_data_filters": []},
        {"name": "private", "task_data_filters": [{"name": "BadModelDetector"}], "task_result_filters": []},
    ],
    "default_scope": "public",
}


def _problems(kit: Kit) -> list[str]:
    return [finding.message for finding in check_policy(kit) if finding.level != "ok"]


def _edit(kit: Kit, name: str, **changes: Any) -> Kit:
    """Writes the owner's own `name`, which is the provisioned one with changes."""
    default = kit.local / f"{name}.default"
    source = default if default.is_file() else kit.local / name
    (kit.local / name).write_text(json.dumps({**json.loads(source.read_text()), **changes}))
    return kit


@pytest.mark.parametrize("name", ["hospital-a", SERVER])
def test_a_new_kit_is_safe(kit: Copy, name: str) -> None:
    assert _problems(kit(name)) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"class_list_enforcement_mode": "warn"}, "class_list_enforcement_mode is 'warn'"),
        ({"class_allow_list": ["*"]}, "allows every class"),
        ({"class_allow_list": [*JOB_CLASSES[1:]]}, f"lacks {JOB_CLASSES[0]}"),
        ({"class_allow_list": [*JOB_CLASSES, "fedvoxel"]}, "neither a class nor a package"),
        ({"class_allow_list": [*JOB_CLASSES, " nvflare."]}, "neither a class nor a package"),
        ({"class_allow_list": [*JOB_CLASSES, ""]}, "neither a class nor a package"),
        ({"class_allow_list": [*JOB_CLASSES, "nvflare."]}, "allows a whole package"),
        ({"class_allow_list": "fedvoxel."}, "not a list"),
        ({"class_allow_list": None}, "not a list"),
        ({"allow_log_streaming": True}, "sends logs"),
        ({"allow_log_streaming": "false"}, "sends logs"),
        ({"components": [STREAMER]}, "streams logs"),
        ({"components": {}}, "not a list of objects"),
    ],
)
def test_loose_resources_are_found(kit: Copy, changes: dict[str, Any], complaint: str) -> None:
    assert any(complaint in problem for problem in _problems(_edit(kit("hospital-a"), "resources.json", **changes)))


def test_a_missing_class_list_is_not_ours(kit: Copy) -> None:
    site = kit("hospital-a")
    values = json.loads((site.local / "resources.json.default").read_text())
    del values["class_allow_list"], values["allow_log_streaming"]
    (site.local / "resources.json").write_text(json.dumps(values))
    assert len(_problems(site)) == 2


def test_jobs_outside_the_kit_and_a_slow_heartbeat_are_found(kit: Copy) -> None:
    server = kit(SERVER)
    values = json.loads((server.local / "resources.json.default").read_text())
    values["servers"][0]["heart_beat_timeout"] = 600
    next(part for part in values["components"] if part["id"] == "job_manager")["args"]["uri_root"] = "/tmp/jobs"  # noqa: S108
    (server.local / "resources.json").write_text(json.dumps(values))
    found = check_policy(server)
    assert [finding.level for finding in found] == ["error", "warning"]
    assert "outside the kit" in found[0].message
    assert "600 s" in found[1].message


def test_a_server_without_its_doorkeeper_is_found(kit: Copy) -> None:
    server = kit(SERVER)
    values = json.loads((server.local / "resources.json.default").read_text())
    values["components"] = [part for part in values["components"] if part["id"] != "doorkeeper"]
    (server.local / "resources.json").write_text(json.dumps(values))
    (problem,) = _problems(server)
    assert "lacks doorkeeper" in problem


@pytest.mark.parametrize(
    ("permissions", "complaint"),
    [
        ({"lead": {"byoc": "any"}}, "may bring code"),
        ({"lead": {"byoc": "o:site"}}, "may bring code"),
        ({"project_admin": "any"}, "for every right, code included"),
        ({"member": {"view": "everybody"}}, "cannot read"),
        ({"member": {"view": []}}, "cannot read"),
        ({"org_admin": {"shell_commands": "o:site"}}, "read files here"),
        ({}, "a set of rights for each role"),
    ],
)
def test_loose_permissions_are_found(kit: Copy, permissions: dict[str, Any], complaint: str) -> None:
    site = _edit(kit("hospital-a"), "authorization.json", permissions=permissions)
    assert any(complaint in problem for problem in _problems(site))


def test_a_missing_authorization_would_allow_everything(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.local / "authorization.json.default").unlink()
    assert any("authorization.json is missing" in problem for problem in _problems(site))


@pytest.mark.parametrize(
    ("policy", "complaints"),
    [
        (SAMPLE, ["has 2 scopes", "'AddNoiseToMinMax' has no path", "'BadModelDetector' has no path"]),
        ({"scopes": [{"name": "a"}]}, ["default_scope is None"]),
        ({"scopes": [{"name": "a"}], "default_scope": "b"}, ["default_scope is 'b'"]),
        ({"scopes": []}, ["one scope in it"]),
        ({"scopes": ["a"], "default_scope": "a"}, ["one scope in it"]),
        ({"scopes": [{"name": "a", "task_data_filters": {}}], "default_scope": "a"}, ["is not a list"]),
        ({"scopes": [{"name": "a", "task_data_filters": ["x"]}], "default_scope": "a"}, ["'x' has no path"]),
        ([], ["expected a JSON object"]),
    ],
)
def test_a_privacy_policy_that_flare_would_choke_on_is_found(kit: Copy, policy: Any, complaints: list[str]) -> None:
    site = kit("hospital-a")
    (site.local / "privacy.json").write_text(json.dumps(policy))
    problems = _problems(site)
    assert has_errors(check_policy(site))
    for complaint in complaints:
        assert any(complaint in problem for problem in problems), problems


@pytest.mark.parametrize("name", ["resources.json", "authorization.json", "privacy.json"])
def test_what_is_not_json_is_found(kit: Copy, name: str) -> None:
    site = kit("hospital-a")
    (site.local / name).write_text('{"a": NaN')
    assert any("cannot be read as JSON" in problem for problem in _problems(site))


def test_without_a_privacy_policy_nothing_would_be_filtered(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.local / "privacy.json").unlink()
    assert any("privacy.json is missing" in problem for problem in _problems(site))


@pytest.mark.parametrize(
    "filters",
    [
        None,
        [],
        {},
        ["fedvoxel.flare.outbound.OutboundFilter"],
        [{"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {}}],
        [OUTBOUND_FILTER | {"disabled": True}],
        [OUTBOUND_FILTER | {"direction": "in"}],
        [OUTBOUND_FILTER | {"args": {"private": False}}],
        [OUTBOUND_FILTER, {"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {}}],
    ],
)
def test_a_scope_without_our_filter_in_the_last_place_is_found(kit: Copy, filters: Any) -> None:
    site = kit("hospital-a")
    values = json.loads((site.local / "privacy.json").read_text())
    values["scopes"][0]["task_result_filters"] = filters
    (site.local / "privacy.json").write_text(json.dumps(values))
    (said,) = [problem for problem in _problems(site) if "outbound filter" in problem]
    assert json.dumps(OUTBOUND_FILTER) in said
    assert has_errors(check_policy(site))


def test_the_hospitals_own_filters_may_come_before_ours(kit: Copy) -> None:
    site = kit("hospital-a")
    values = json.loads((site.local / "privacy.json").read_text())
    own = {"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {}}
    values["scopes"][0]["task_result_filters"].insert(0, own)
    (site.local / "privacy.json").write_text(json.dumps(values))
    assert _problems(site) == []


def test_the_filters_of_all_scopes_are_listed(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.local / "privacy.json").write_text(json.dumps(SAMPLE))
    assert privacy_filters(site) == [{"name": "AddNoiseToMinMax"}, {"name": "BadModelDetector"}]


def test_an_entry_matches_as_flare_matches() -> None:
    from nvflare.app_common.widgets.component_path_authorizer import ComponentPathAuthorizer

    for entry in ("a.b.", "a.b", "a.b.C"):
        for path in ("a.b.C", "a.bc.C", "a.b", "a.b.C.d", "a.b.CD"):
            flare = ComponentPathAuthorizer._path_matches_prefix(path, entry)
            assert is_allowed(path, [entry]) == flare or path == entry.removesuffix("."), (entry, path)


@pytest.mark.parametrize("servers", ["abc", ["abc"], [{"heart_beat_timeout": "long"}], [None], 7])
def test_servers_that_are_none_are_said_and_no_crash(kit: Copy, servers: object) -> None:
    server = kit(SERVER)
    values = json.loads((server.local / "resources.json.default").read_text()) | {"servers": servers}
    next(part for part in values["components"] if part["id"] == "job_manager")["args"] = "none"
    (server.local / "resources.json").write_text(json.dumps(values))
    assert all(finding.level in ("ok", "warning", "error") for finding in check_policy(server))
