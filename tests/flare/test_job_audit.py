"""Whose a job is, by the audit: by its signature, and by nobody's word where that does not count."""

from datetime import timedelta
from pathlib import Path

import nvflare.lighter.utils
import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext

from fedvoxel.flare.job_audit import job_event
from tests.approval_kits import NOW, PHYSICIAN, SCIENTIST
from tests.blob_job import CLIENT

from .test_approved_deployer import JOB, Consortium


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


def named(consortium: Consortium) -> tuple[str, str] | None:
    """Returns whom the audit names as a job begins, and the role; the server says that it is the physician's."""
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, consortium.workspace, private=True, sticky=False)
    context.set_prop(FLContextKey.CURRENT_RUN, JOB, private=True, sticky=False)
    context.set_prop(FLContextKey.JOB_META, {"submitter_name": PHYSICIAN}, private=True, sticky=False)
    actor = job_event(context, "run").actor
    return (actor.name, actor.role) if actor else None


def test_nobody_is_named_on_the_servers_word_where_a_signature_counts_no_more(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = consortium.job()
    consortium.sign(job)
    assert consortium.deploy(job) == ""
    assert named(consortium) == (SCIENTIST, "lead")
    monkeypatch.setattr(nvflare.lighter.utils, "_utc_now", lambda: NOW + timedelta(days=31))
    assert named(consortium) == (SCIENTIST, "person"), "as the site noted it"
    placed = consortium.app / Path(*Path(CLIENT).parts[1:])
    placed.write_text(placed.read_text() + " ")
    assert named(consortium) is None


def test_where_nobody_has_signed_the_servers_word_is_all_there_is(consortium: Consortium) -> None:
    assert consortium.deploy(consortium.job()) == ""
    assert named(consortium) == (PHYSICIAN, "")
