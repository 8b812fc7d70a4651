"""Whether a kit's own files admit a job."""

import json
from collections.abc import Callable

import pytest

from fedvoxel.governance.job_folder import JobFolder, parse_job
from fedvoxel.governance.job_policy import policy_reasons
from fedvoxel.governance.kit import Kit
from tests.blob_job import META, change_policy, job_documents
from tests.consortium_kits import SERVER

Copy = Callable[[str], Kit]


@pytest.fixture
def job() -> JobFolder:
    return parse_job(job_documents())


@pytest.mark.parametrize("name", ["hospital-a", SERVER])
def test_a_provisioned_kit_admits_the_job(kit: Copy, job: JobFolder, name: str) -> None:
    assert policy_reasons(job, kit(name)) == []


def test_a_class_that_the_list_lacks_is_named(kit: Copy, job: JobFolder) -> None:
    site = kit("hospital-a")
    change_policy(site.folder, "resources.json", class_allow_list=["fedvoxel.flare.controller.FedAvgController"])
    reasons = policy_reasons(job, site)
    assert len(reasons) == 1 and "lacks fedvoxel.flare.executor.SiteExecutor" in reasons[0]


def test_a_list_that_is_not_enforced_or_allows_all_refuses_nothing(kit: Copy, job: JobFolder) -> None:
    site = kit("hospital-a")
    change_policy(site.folder, "resources.json", class_allow_list=["*"])
    assert policy_reasons(job, site) == []
    change_policy(site.folder, "resources.json", class_allow_list=[], class_list_enforcement_mode="warn")
    assert policy_reasons(job, site) == []


def test_a_list_that_is_none_is_told(kit: Copy, job: JobFolder) -> None:
    site = kit("hospital-a")
    change_policy(site.folder, "resources.json", class_allow_list="fedvoxel")
    assert "not a list" in policy_reasons(job, site)[0]


def test_a_foreign_scope_is_refused(kit: Copy) -> None:
    documents = job_documents()
    documents[META]["scope"] = "research"
    assert policy_reasons(parse_job(documents), kit("hospital-a")) == [
        "privacy scope 'research' is not allowed; this site has fedvoxel"
    ]


def test_a_broken_policy_file_is_told(kit: Copy, job: JobFolder) -> None:
    site = kit("hospital-a")
    (site.local / "privacy.json").write_text("{")
    assert "privacy.json" in policy_reasons(job, site)[0]
    (site.local / "privacy.json").write_text(json.dumps([]))
    assert "expected a JSON object" in policy_reasons(job, site)[0]
