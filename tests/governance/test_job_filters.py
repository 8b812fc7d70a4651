"""A job may name FLARE's filters wrapped, for what its sites send of their rounds, and not beside a privacy section."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.flare.job_kinds import understand
from fedvoxel.governance.class_list import check_class_list, is_allowed
from fedvoxel.governance.job_filters import WRAPPED, check_job_filters
from fedvoxel.governance.job_folder import JobFolder, parse_job
from fedvoxel.governance.job_policy import policy_reasons
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.local_policy import JOB_CLASSES
from tests.blob_job import CLIENT, SERVER, controller_of, executor_of, job_documents
from tests.private_section import PRIVACY

SVT, PERCENTILE = WRAPPED
RAW = "nvflare.app_common.filters.svt_privacy.SVTPrivacy"


def job(path: str, args: Any = None, where: str = "task_result_filters", tasks: Any = ("train",)) -> dict[str, Any]:
    documents = job_documents()
    chain = {"tasks": list(tasks), "filters": [{"path": path, "args": args or {}}]}
    documents[SERVER if where.startswith("server") else CLIENT][where.removeprefix("server ")] = [chain]
    return documents


def folder(documents: dict[str, Any]) -> JobFolder:
    return parse_job(documents)


@pytest.mark.parametrize("path", WRAPPED)
def test_a_job_with_a_wrapped_filter_is_understood(path: str, kit: Callable[[str], Kit]) -> None:
    content = understand(folder(job(path)))
    assert path in content.folder.site_classes()
    assert policy_reasons(content.folder, kit("hospital-a")) == []


@pytest.mark.parametrize("name", ["svt_privacy.SVTPrivacy", "percentile_privacy.PercentilePrivacy", "SVTPrivacy"])
def test_flares_own_class_is_refused_and_the_wrapped_one_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"flare_filters\.Wrapped"):
        understand(folder(job(f"nvflare.app_common.filters.{name}")))


def test_any_other_filter_is_refused_by_the_sites_class_list(kit: Callable[[str], Kit]) -> None:
    content = understand(folder(job("nvflare.app_common.filters.exclude_vars.ExcludeVars")))
    (reason,) = policy_reasons(content.folder, kit("hospital-a"))
    assert "class_allow_list lacks" in reason and "ExcludeVars" in reason


@pytest.mark.parametrize("path", [*WRAPPED, "fedvoxel.flare.outbound.OutboundFilter"])
def test_beside_a_privacy_section_no_filter_changes_what_was_released(path: str) -> None:
    documents = job(path)
    controller_of(documents)["args"]["privacy"] = PRIVACY
    executor_of(documents)["executor"]["args"]["privacy"] = PRIVACY
    controller_of(documents)["args"]["rounds"]["evaluate"] = False
    with pytest.raises(ConfigError, match="would change what the sites' ledgers have released"):
        understand(folder(documents))
    documents[CLIENT].pop("task_result_filters")
    understand(folder(documents))


@pytest.mark.parametrize(
    ("path", "args", "named"),
    [
        (SVT, {"gamma": 0}, "gamma"),
        (SVT, {"epsilon": "much"}, "epsilon"),
        (SVT, {"data_kinds": ["WEIGHTS"]}, "data_kinds"),
        (SVT, {"tau": 1}, "tau"),
        (PERCENTILE, {"percentile": 200}, "percentile"),
        (PERCENTILE, {"gamma": -1}, "gamma"),
    ],
)
def test_a_wrong_argument_is_named(path: str, args: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        understand(folder(job(path, args)))


@pytest.mark.parametrize(
    ("where", "tasks"),
    [
        ("task_result_filters", ["train", "validate"]),
        ("task_result_filters", ["initialize"]),
        ("task_data_filters", ["train"]),
        ("server task_result_filters", ["train"]),
        ("server task_data_filters", ["train"]),
    ],
)
def test_in_another_place_they_are_refused(where: str, tasks: list[str]) -> None:
    with pytest.raises(ConfigError, match="at the sites and for the task train alone"):
        check_job_filters(folder(job(SVT, where=where, tasks=tasks)), private=False)


def test_the_models_have_the_arguments_of_the_filters() -> None:
    from nvflare.fuel.utils.class_loader import load_class

    for path, model in WRAPPED.items():
        taken = inspect.signature(load_class(path)).parameters
        assert {name: one.default for name, one in taken.items()} == {
            name: one.default for name, one in model.model_fields.items()
        }


def test_a_site_may_do_without_them() -> None:
    assert not any(is_allowed(path, list(JOB_CLASSES)) for path in WRAPPED)
    assert check_class_list({"class_allow_list": list(JOB_CLASSES)}) == []


def test_a_filter_that_would_meet_encoded_differences_is_refused() -> None:
    check_job_filters(folder(job(SVT)), private=False)
    with pytest.raises(ConfigError, match="cannot read encoded differences"):
        check_job_filters(folder(job(SVT)), private=False, encoded=True)
