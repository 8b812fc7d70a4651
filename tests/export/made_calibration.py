"""A calibration that nobody fitted: enough for what looks at its form and at whose it is."""

from fedvoxel.federation.calibration.calibration import Calibration, CalibrationError
from fedvoxel.federation.calibration.plan import ExaminationPlan, ViewPlan
from fedvoxel.federation.calibration.resemblance import Reference
from fedvoxel.federation.calibration.score_counts import ScoreCounts


def made_calibration(
    model_sha256: str | None, structures: tuple[str, ...] = ("blob",), temperature: float = 1.5
) -> Calibration:
    """A calibration of the structures of some weights."""
    reference = Reference(names=("size",), cases=20, mean=(0.0,), deviation=(1.0,), precision=((1.0,),))
    plan = ExaminationPlan(
        structures=structures,
        views=ViewPlan(),
        temperature=temperature,
        reference=reference,
        log_volumes=dict.fromkeys(structures),
    )
    return Calibration(
        model_sha256=model_sha256,
        hospitals=2,
        patients=20,
        minimum_patients=5,
        plan=plan,
        calibration_error=CalibrationError(before=None, after=None),
        distances=ScoreCounts(edges=(1.0, 2.0), counts=(20, 0, 0)),
        volume_errors=dict.fromkeys(structures),
        quality=dict.fromkeys(structures),
    )
