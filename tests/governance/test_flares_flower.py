"""FLARE's own Flower integration goes past every filter: no kit takes a job with it unless its site says so itself."""

from collections.abc import Callable

import pytest
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.workspace import Workspace
from nvflare.app_common.widgets.component_path_authorizer import ComponentPathAuthorizer

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.flare.job_kinds import understand
from fedvoxel.governance.job_folder import parse_job
from fedvoxel.governance.job_policy import policy_reasons
from fedvoxel.governance.kit import Kit
from tests.blob_job import controller_of, executor_of, job_documents
from tests.consortium_kits import SERVER

CONTROLLER = "nvflare.app_opt.flower.controller.FlowerController"
EXECUTOR = "nvflare.app_opt.flower.executor.FlowerExecutor"
Copy = Callable[[str], Kit]


def test_the_classes_are_where_flare_has_them() -> None:
    from importlib.util import find_spec

    for path in (CONTROLLER, EXECUTOR):
        module, _, name = path.rpartition(".")
        found = find_spec(module)
        assert found is not None and found.origin is not None
        with open(found.origin) as source:
            assert f"class {name}(" in source.read()


@pytest.mark.parametrize(("name", "path"), [("hospital-a", EXECUTOR), (SERVER, CONTROLLER)])
def test_flare_refuses_to_build_them_in_a_kit_as_it_is_made(kit: Copy, name: str, path: str) -> None:
    workspace = Workspace(str(kit(name).folder), name)
    with pytest.raises(UnsafeComponentError, match="is not in allow_list"):
        ComponentPathAuthorizer().authorize_component_config({"path": path}, workspace=workspace)


def test_a_sites_door_and_a_look_beforehand_refuse_the_job_by_name(kit: Copy) -> None:
    documents = job_documents()
    executor_of(documents)["executor"]["path"] = EXECUTOR
    controller_of(documents)["path"] = CONTROLLER
    folder = parse_job(documents)
    (at_site,) = policy_reasons(folder, kit("hospital-a"))
    assert f"class_allow_list lacks {EXECUTOR}" in at_site
    (at_server,) = policy_reasons(folder, kit(SERVER))
    assert f"class_allow_list lacks {CONTROLLER}" in at_server
    with pytest.raises(ConfigError, match=rf"unknown workflow {CONTROLLER}"):
        understand(folder)


def test_nobody_may_run_a_flower_app_that_lies_at_the_server(kit: Copy) -> None:
    granted = read_json(kit("hospital-a").folder / "local" / "authorization.json.default", "the rights")
    assert granted["format_version"] == "1.0"
    for role, rights in granted["permissions"].items():
        assert rights.get("server-predeployed-flwr", "none") == "none", role
