"""FLARE's streaming of metrics and logs goes past every filter: a job that names it is refused, by us and by FLARE."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.workspace import Workspace
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.app_common.widgets.component_path_authorizer import ComponentPathAuthorizer

import fedvoxel.flare
from fedvoxel.governance.job_folder import parse_job
from fedvoxel.governance.job_policy import policy_reasons
from fedvoxel.governance.kit import Kit
from tests.blob_job import CLIENT, job_documents
from tests.blob_job import SERVER as SERVER_DOCUMENT
from tests.consortium_kits import SERVER

AT_SITES = (
    "nvflare.app_common.widgets.convert_to_fed_event.ConvertToFedEvent",
    "nvflare.app_common.widgets.streaming.AnalyticsSender",
    "nvflare.app_common.widgets.metric_relay.MetricRelay",
    "nvflare.app_common.logging.job_log_streamer.JobLogStreamer",
)
AT_SERVER = (
    "nvflare.app_opt.tracking.mlflow.mlflow_receiver.MLflowReceiver",
    "nvflare.app_opt.tracking.wandb.wandb_receiver.WandBReceiver",
    "nvflare.app_opt.tracking.tb.tb_receiver.TBAnalyticsReceiver",
    "nvflare.app_common.logging.job_log_receiver.JobLogReceiver",
)
Copy = Callable[[str], Kit]


@pytest.mark.parametrize(
    ("name", "document", "path"),
    [
        *(("hospital-a", CLIENT, path) for path in AT_SITES),
        *((SERVER, SERVER_DOCUMENT, path) for path in AT_SERVER),
    ],
)
def test_a_job_that_streams_is_refused_by_name(kit: Copy, name: str, document: str, path: str) -> None:
    documents = job_documents()
    documents[document]["components"] = [{"id": "stream", "path": path, "args": {}}]
    (reason,) = policy_reasons(parse_job(documents), kit(name))
    assert reason.startswith(f"class_allow_list lacks {path}")


@pytest.mark.parametrize(("name", "paths"), [("hospital-a", AT_SITES), (SERVER, AT_SERVER)])
def test_flare_itself_refuses_them_in_a_kit_as_it_is_made(kit: Copy, name: str, paths: tuple[str, ...]) -> None:
    workspace, authorizer = Workspace(str(kit(name).folder), name), ComponentPathAuthorizer()
    authorizer.authorize_component_config({"path": "fedvoxel.flare.executor.SiteExecutor"}, workspace=workspace)
    for path in paths:
        with pytest.raises(UnsafeComponentError, match="is not in allow_list"):
            authorizer.authorize_component_config({"path": path}, workspace=workspace)


def test_flares_own_list_would_take_what_sends_metrics() -> None:
    assert AT_SITES[0] in DEFAULT_CLASS_ALLOW_LIST, "our list is what stands between"


@pytest.mark.parametrize("path", [*AT_SITES, *AT_SERVER])
def test_what_is_refused_is_what_flare_has(path: str) -> None:
    module, _, name = path.rpartition(".")
    origin = importlib.util.find_spec(module)
    assert origin and origin.origin and f"class {name}(" in Path(origin.origin).read_text()


def test_our_own_parts_send_no_metrics_past_the_filters() -> None:
    words = ("fire_fed_event", "ANALYTIC_EVENT_TYPE", "AnalyticsData", "nvflare.client.tracking", "add_scalar")
    sources = sorted(Path(fedvoxel.flare.__path__[0]).rglob("*.py"))
    found = [f"{path.name}: {word}" for path in sources for word in words if word in path.read_text()]
    assert len(sources) > 50 and found == []
