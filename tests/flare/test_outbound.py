"""The site's filter: each of the five ways past FLARE's DXOFilter is closed, and an answer is made anew."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.flare import outbound
from fedvoxel.flare.messages import LACKS_MODEL, error_of, error_reply, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY, OutboundFilter
from fedvoxel.governance.approval_policy import APPROVAL_FILE, ApprovalPolicy, write_approval_policy
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import (
    PRIVACY_FILE,
    CohortBudget,
    NoBudget,
    PrivacyPolicy,
    PublicCohort,
    grant,
    write_privacy_policy,
)
from fedvoxel.records.audit import AuditLog
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, encode
from fedvoxel.updates.secure.masked import MASKED
from fedvoxel.updates.weights_file import to_bytes

ARRAYS = {"conv.weight": np.full(3, 0.5, np.float32)}
TRAINED = {"case_count": 5, "loss": 0.5, "seconds": 1.0, "refused_cases": 0}


class Kit:
    """Stands where FLARE's workspace does: it says where the site's own files are."""

    def __init__(self, folder: Path) -> None:
        self.local = folder / "local"
        self.local.mkdir()
        write_privacy_policy(self.local, PrivacyPolicy(schema_version=1))
        write_approval_policy(self.local, ApprovalPolicy())
        grant(self.local, "open", NoBudget())
        grant(self.local, "atlas", PublicCohort())
        grant(self.local, "protected", CohortBudget(unit="patient", epsilon=8, delta=1e-3))

    def get_site_config_dir(self) -> str:
        return str(self.local)

    def filtered(self, reply: Shareable, task: str = "train", cohort: str | None = "open") -> Shareable:
        context = FLContext()
        context.set_prop(FLContextKey.WORKSPACE_OBJECT, self, private=True, sticky=False)
        context.set_prop(FLContextKey.TASK_NAME, task, private=True, sticky=False)
        context.set_prop(COHORT_PROPERTY, cohort, private=True, sticky=False)
        return OutboundFilter().process(reply, context)

    def release(self, content: bytes) -> str:
        """Keeps noised bytes in the protected cohort's ledger and returns the release's id."""
        ledger = open_ledger(self.local, self.local.parent / "state", "protected")
        event = GaussianEvent(noise_multiplier=5, sampling_probability=1, count=1)
        plan = RunPlan(unit="patient", event=event, draws=1, delta=1e-3)
        reservation = ledger.reserve("run", "job", 0, plan)
        ledger.keep(reservation, content)
        return reservation.release_id


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_an_update_leaves_with_its_known_values_and_nothing_beside_them(kit: Kit) -> None:
    reply = result_reply(TRAINED, ARRAYS, difference=True)
    reply["note"] = "Meier"
    reply.set_header("patient", "Meier")
    left = kit.filtered(reply)
    assert "Meier" not in str(left)
    model = FLModelUtils.from_shareable(left)
    assert model.meta == TRAINED and np.array_equal(model.params["conv.weight"], ARRAYS["conv.weight"])


def test_an_answer_about_a_public_cohort_says_so_and_no_other_does(kit: Kit) -> None:
    reply = result_reply(TRAINED, ARRAYS, difference=True)
    model = FLModelUtils.from_shareable(kit.filtered(reply, cohort="atlas"))
    assert model.meta == TRAINED | {"public": True}
    assert np.array_equal(model.params["conv.weight"], ARRAYS["conv.weight"])
    assert "public" not in FLModelUtils.from_shareable(kit.filtered(reply)).meta
    score = result_reply({"score": {"cases": 2, "dice": {"organ": 0.5}}}, {}, difference=False)
    assert FLModelUtils.from_shareable(kit.filtered(score, "validate", "atlas")).meta["public"] is True
    assert "public" not in FLModelUtils.from_shareable(kit.filtered(score, "validate")).meta
    initial = result_reply({}, ARRAYS, difference=False)
    assert "public" not in FLModelUtils.from_shareable(kit.filtered(initial, "initialize", "atlas")).meta
    left = kit.filtered(error_reply("no usable case"), cohort="atlas")
    assert error_of(left) == "no usable case"


def test_an_encoded_difference_leaves_as_its_bytes_once_it_has_been_read(kit: Kit) -> None:
    payload, _ = encode(ARRAYS, READ_CODEC.validate_python({"name": "fp16"}), np.random.default_rng(0), {})
    left = FLModelUtils.from_shareable(kit.filtered(result_reply(TRAINED, {PAYLOAD: as_array(payload)}, True)))
    assert left.params[PAYLOAD].tobytes() == payload
    wrong: list[dict[str, np.ndarray]] = [
        {PAYLOAD: as_array(b"a patient's name")},
        {PAYLOAD: as_array(payload), "scan": np.zeros(3, np.float32)},
        {PAYLOAD: as_array(payload[:-1])},
        {"other": as_array(payload)},
    ]
    for arrays in wrong:
        with pytest.raises(UpdateError):
            kit.filtered(result_reply(TRAINED, arrays, difference=True))
    with pytest.raises(UpdateError):
        kit.filtered(result_reply({}, {PAYLOAD: as_array(payload)}, difference=False), "initialize")


@pytest.mark.parametrize("cohort", ["open", "atlas", "protected"])
def test_no_executor_can_declare_its_cohort_public(cohort: str, kit: Kit) -> None:
    with pytest.raises(UpdateError):
        kit.filtered(result_reply(TRAINED | {"public": True}, ARRAYS, difference=True), cohort=cohort)


@pytest.mark.parametrize(
    "reply",
    [
        DXO(DataKind.ANALYTIC, data={"x": 1}).to_shareable(),
        DXO(DataKind.METRICS, data={"dice": 0.5}).to_shareable(),
        DXO(DataKind.COLLECTION, data={"a": DXO(DataKind.WEIGHTS, data=ARRAYS)}).to_shareable(),
        DXO(DataKind.WEIGHT_DIFF, data={}, meta=TRAINED).to_shareable(),
        DXO(DataKind.WEIGHTS, data=ARRAYS, meta=TRAINED).to_shareable(),
        Shareable({"scan": "raw"}),
    ],
    ids=["analytics", "metrics", "a collection", "an empty difference", "full weights", "no DXO"],
)
def test_what_it_does_not_know_is_refused(reply: Shareable, kit: Kit) -> None:
    with pytest.raises(UpdateError):
        kit.filtered(reply)


def test_a_failed_answer_leaves_as_its_code_and_reason_only(kit: Kit) -> None:
    reply = error_reply("no usable case")
    reply["scan"] = b"raw"
    reply.set_header("patient", "Meier")
    left = kit.filtered(reply)
    assert left.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert error_of(left) == "no usable case"
    assert "raw" not in str(left) and "Meier" not in str(left)


def test_of_a_protected_cohort_the_bytes_of_the_ledger_leave_and_not_those_of_the_executor(kit: Kit) -> None:
    release_id = kit.release(to_bytes(ARRAYS))
    left = FLModelUtils.from_shareable(
        kit.filtered(result_reply({"release_id": release_id}, {}, False), "train", "protected")
    )
    assert left.meta == {"release_id": release_id, "case_count": 1, "run_key": "run", "round": 0}
    assert np.array_equal(left.params["conv.weight"], ARRAYS["conv.weight"])
    assert open_ledger(kit.local, kit.local.parent / "state", "protected").status().runs[0].sent == 1


@pytest.mark.parametrize(
    "reply",
    [
        result_reply(TRAINED, ARRAYS, difference=True),
        result_reply({"release_id": "0" * 32}, {}, difference=False),
        result_reply({"release_id": "0" * 32}, ARRAYS, difference=True),
    ],
    ids=["an update without noise", "a release that nobody kept", "arrays beside a release"],
)
def test_of_a_protected_cohort_nothing_else_leaves(reply: Shareable, kit: Kit) -> None:
    with pytest.raises(FedVoxelError):
        kit.filtered(reply, "train", "protected")


def test_of_a_protected_cohort_no_reason_leaves(kit: Kit) -> None:
    left = kit.filtered(error_reply("the batch is larger than the cohort of 7"), "train", "protected")
    assert "declined" in error_of(left) and "7" not in error_of(left)


@pytest.mark.parametrize("cohort", [None, "unknown"])
def test_without_a_decision_of_the_hospital_nothing_leaves(cohort: str | None, kit: Kit) -> None:
    left = kit.filtered(result_reply(TRAINED, ARRAYS, difference=True), "train", cohort)
    assert left.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert f"says nothing about cohort {str(cohort)!r}" in error_of(left)
    assert "conv.weight" not in str(left) and "case_count" not in str(left)
    (kit.local / PRIVACY_FILE).write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        kit.filtered(error_reply("no usable case"), "train", "open")


def test_where_the_hospital_wants_sums_an_update_leaves_masked_and_says_nothing_else(kit: Kit) -> None:
    grant(kit.local, "open", NoBudget(in_sums=InSums(least_sites=3, partners=("a", "b", "c"))))
    masked = {MASKED: np.frombuffer(b"FVS\x01\x10 and so on", np.uint8)}
    told = {"case_count": 1, "run_key": "run", "round": 0}
    left = FLModelUtils.from_shareable(kit.filtered(result_reply(told, masked, difference=True)))
    assert left.params[MASKED].tobytes() == masked[MASKED].tobytes() and left.meta.keys() == told.keys()
    for values, arrays in ((told, ARRAYS), (told | {"loss": 0.5}, masked), (told | {"case_count": 5}, masked)):
        with pytest.raises(UpdateError, match="masked only"):
            kit.filtered(result_reply(values, arrays, difference=True))
    with pytest.raises(UpdateError, match="masked only"):
        kit.filtered(result_reply({"case_count": 0, "seconds": 2.0}, {}, difference=True))
    with pytest.raises(UpdateError, match="masked only"):
        kit.filtered(result_reply({}, ARRAYS, difference=False), "submit_model")


def test_nothing_leaves_a_site_whose_rule_of_approval_cannot_be_read(kit: Kit) -> None:
    (kit.local / APPROVAL_FILE).unlink()
    with pytest.raises(ConfigError, match="approval policy is missing"):
        kit.filtered(result_reply(TRAINED, ARRAYS, difference=True))


def test_an_answer_that_a_full_disk_withholds_is_in_the_audit(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: FLContext) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/path/of/the/site")

    monkeypatch.setattr(outbound, "check_still_approved", full)
    with pytest.raises(ConfigError, match=r"its own files .*No space left"):
        kit.filtered(result_reply(TRAINED, ARRAYS, difference=True))
    [(_, event)] = AuditLog(kit.local.parent / "state").read()
    assert (event.kind, event.outcome) == ("answer", "refused") and "No space left" in event.reason
    assert "/a/path" not in event.reason


def test_a_private_site_may_say_that_it_lacks_the_model_and_nothing_else(kit: Kit) -> None:
    for reason, leaves in ((LACKS_MODEL, True), ("Meier has no label", False)):
        left = kit.filtered(error_reply(reason), cohort="protected")
        assert left.get_return_code() != ReturnCode.OK
        assert (reason in error_of(left)) == leaves


def test_a_release_that_is_encoded_leaves_as_it_was_kept(kit: Kit) -> None:
    payload, _ = encode(ARRAYS, READ_CODEC.validate_python({"name": "int8"}), np.random.default_rng(1), {})
    release_id = kit.release(to_bytes({PAYLOAD: as_array(payload)}))
    left = FLModelUtils.from_shareable(
        kit.filtered(result_reply({"release_id": release_id}, {}, difference=False), cohort="protected")
    )
    assert left.params[PAYLOAD].tobytes() == payload


def test_a_release_that_is_no_payload_does_not_leave(kit: Kit) -> None:
    release_id = kit.release(to_bytes({PAYLOAD: as_array(b"FVC" + bytes(40))}))
    with pytest.raises(UpdateError, match="payload"):
        kit.filtered(result_reply({"release_id": release_id}, {}, difference=False), cohort="protected")
