"""FLARE's own privacy filters, usable by a job, so that what leaves them carries the truth about them.

FLARE's filters let an answer pass unchanged where they do not know it, where it failed, and where an argument is out of
range. These derive from `Filter`, hand FLARE's code the arrays alone and take the arrays alone back: everything that is
not a site's checked difference becomes an error reply, and nothing else of it leaves. A `filter_note` says what the
filter gives, by FLARE's own account where there is one, and that it is no formal guarantee. Nor do they touch a cohort
that its hospital protects: what its ledger has released leaves as it is, or not at all.

What is wrong with FLARE's mechanisms themselves is not repaired here, only said: SVTPrivacy draws from numpy's global
generator, goes on after its count of answers, and counts within one job only; PercentilePrivacy adds no noise.
"""

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.dxo_filter import DXOFilter
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.filters.percentile_privacy import PercentilePrivacy
from nvflare.app_common.filters.svt_privacy import SVTPrivacy

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.flare.messages import TASK_TRAIN, error_of, error_reply, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY, answer_of
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.governance.job_filters import PercentileArgs, SVTArgs
from fedvoxel.governance.outbound import Answer, admit
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.privacy.policy import CohortBudget, load_privacy_policy
from fedvoxel.updates.update import Arrays, check_layout, check_values, layout_of

FILTER_NOTE = "filter_note"
"""The key under which an answer says what a filter of the job has done to it, in words."""

_DECLARED = "public"
"""What the site's own filter adds to an answer about public cases; kept as it is."""

_REFUSED = "{name}, a filter of the job, refused this site's answer; the site's own log says why"

# FLARE's code logs the largest change of a weight, and FLARE can stream logs.
_SILENT = logging.Logger(f"{__name__}.silent", logging.CRITICAL)


class _Wrapped(Filter):
    """Hands a checked difference to one of FLARE's filters and an answer made anew on, or an error."""

    def __init__(self, args: dict[str, Any]) -> None:
        """Keeps the job's words; they are checked with the first answer, so that a bad one is a reply and no crash."""
        super().__init__()
        self._args = args
        self._made: DXOFilter | None = None

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Returns the answer with filtered arrays and a note, or an error reply that carries nothing else."""
        code = shareable.get_return_code(ReturnCode.OK)
        if code != ReturnCode.OK:
            reply = error_reply(error_of(shareable))
            reply.set_return_code(code)
            return reply
        try:
            # Nothing but the job's own words is in what this raises.
            self._made = self._made or self._build()
        except ConfigError as error:
            return error_reply(str(error))
        try:
            self._refuse_protected(fl_ctx)
            return self._filtered(str(fl_ctx.get_prop(FLContextKey.TASK_NAME)), shareable, fl_ctx)
        except FedVoxelError as error:
            self.log_error(fl_ctx, f"event=filter_refused reason={error}", fire_event=False)
            return error_reply(_REFUSED.format(name=type(self).__name__))

    @abstractmethod
    def _build(self) -> DXOFilter:
        """Returns FLARE's filter; raises ConfigError where an argument is wrong."""

    @abstractmethod
    def _note(self) -> str:
        """Returns what the last call gave, in words; raises UpdateError where it cannot be told."""

    @property
    def _inner(self) -> DXOFilter:
        """Is FLARE's filter, which lives as long as this one, so that it counts through the whole job."""
        if self._made is None:
            raise UpdateError("no answer has come yet")
        self._made.logger = _SILENT
        return self._made

    def _refuse_protected(self, fl_ctx: FLContext) -> None:
        """Refuses answers about a cohort that the hospital protects, or has said nothing about.

        Raises:
            UpdateError: It is such a cohort.
            ConfigError: The hospital's policy cannot be read.
        """
        local = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve()
        decided = load_privacy_policy(local).cohorts.get(str(fl_ctx.get_prop(COHORT_PROPERTY)))
        if decided is None or isinstance(decided, CohortBudget):
            raise UpdateError("this site lets no filter of a job change what it releases about a protected cohort")

    def _filtered(self, task: str, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        answer = answer_of(shareable)
        declared = {key: True for key in (_DECLARED,) if answer.values.get(key) is True}
        values = {key: value for key, value in answer.values.items() if key not in declared}
        admitted = admit(task, Answer(answer.kind, answer.arrays, values), private=False)
        if task != TASK_TRAIN or admitted.kind != "difference":
            raise UpdateError(f"expected the difference of a round, got {admitted.kind} in answer to {task}")
        arrays = self._changed(admitted.arrays, fl_ctx)
        return result_reply({**admitted.values, **declared, FILTER_NOTE: self._note()}, arrays, difference=True)

    def _changed(self, arrays: Arrays, fl_ctx: FLContext) -> Arrays:
        """Returns what FLARE's filter makes of the arrays.

        Raises:
            UpdateError: It would let some pass as they are, has not filtered, or has made something else of them.
        """
        if any(array.ndim == 0 for array in arrays.values()):
            raise UpdateError("an array is a single number, which FLARE's filter would let leave as it is")
        before = DXO(DataKind.WEIGHT_DIFF, data={name: array.copy() for name, array in arrays.items()})
        after = self._inner.process_dxo(before, Shareable(), fl_ctx)
        if not isinstance(after, DXO) or after.data_kind != DataKind.WEIGHT_DIFF or not isinstance(after.data, dict):
            raise UpdateError("FLARE's filter has not filtered the difference")
        check_layout(after.data, layout_of(arrays))
        check_values(after.data)
        return {name: array.astype(np.float32) for name, array in after.data.items()}


class WrappedSVTPrivacy(_Wrapped):
    """Is FLARE's SVTPrivacy, with the epsilon that FLARE's own odometer gives in each answer's note."""

    def __init__(
        self,
        fraction: float = 0.1,
        epsilon: float = 0.1,
        noise_var: float = 0.1,
        gamma: float = 1e-5,
        tau: float = 1e-6,
        replace: bool = True,
        epsilon_threshold: float | None = None,
        epsilon_query: float | None = None,
        epsilon_release: float | None = None,
    ) -> None:
        """Keeps the job's words; `governance.job_filters.SVTArgs` says what they mean."""
        super().__init__({
            "fraction": fraction, "epsilon": epsilon, "noise_var": noise_var, "gamma": gamma, "tau": tau,
            "replace": replace, "epsilon_threshold": epsilon_threshold, "epsilon_query": epsilon_query,
            "epsilon_release": epsilon_release,
        })  # fmt: skip
        self._calls = 0

    def _build(self) -> DXOFilter:
        args = parse_config(SVTArgs, self._args, "arguments of the job's SVT filter")
        return SVTPrivacy(data_kinds=[DataKind.WEIGHT_DIFF], **args.model_dump())

    def _note(self) -> str:
        odometer = self._inner.get_privacy_ledger()
        self._calls += 1
        if len(odometer) != self._calls:
            raise UpdateError("FLARE's odometer has not counted this round")
        now, so_far = odometer[-1]["epsilon_total"], self._inner.get_privacy_spent()
        return (
            f"FLARE SVTPrivacy: epsilon {now:.6g} this round, {so_far:.6g} so far in this job at this site, by FLARE's "
            f"own odometer (whole site, replace, pure DP); {NO_GUARANTEE}: it gives more answers than its proof "
            "covers, its noise source is not cryptographic, and other jobs are not added"
        )


class WrappedPercentilePrivacy(_Wrapped):
    """Is FLARE's PercentilePrivacy, which adds no noise, and says so in each answer's note."""

    def __init__(self, percentile: float = 10, gamma: float = 0.01) -> None:
        """Keeps the job's words; `governance.job_filters.PercentileArgs` says what they mean."""
        super().__init__({"percentile": percentile, "gamma": gamma})

    def _build(self) -> DXOFilter:
        args = parse_config(PercentileArgs, self._args, "arguments of the job's percentile filter")
        return PercentilePrivacy(data_kinds=[DataKind.WEIGHT_DIFF], **args.model_dump())

    def _note(self) -> str:
        return f"FLARE PercentilePrivacy: {NO_GUARANTEE} (it adds no noise)"
