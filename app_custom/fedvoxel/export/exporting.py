"""Makes a package of a job's model: every form, every text, one signature."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.export.bundle import NO_LICENCE, PROGRAM, WEIGHTS, bundle_of
from fedvoxel.export.calibration import check_calibration
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.forms import Forms, forms_of
from fedvoxel.export.job_model import JobModel
from fedvoxel.export.manifest import CALIBRATION, ONNX
from fedvoxel.export.model_card import MODEL_CARD, model_card
from fedvoxel.export.origin import PROVENANCE
from fedvoxel.export.package import Package, write_package
from fedvoxel.export.provenance import provenance_of
from fedvoxel.export.sbom import SBOM, sbom_of
from fedvoxel.export.signature import moment
from fedvoxel.export.written import text_of_json
from fedvoxel.records.identity import Identity
from fedvoxel.training.networks import build_network, network_arguments, set_weights


@dataclass(frozen=True)
class Beside:
    """Is what goes into a package beside the model.

    Attributes:
        calibration: The content of calibration.json; None where there is none.
        licence: The text of the bundle's licence.
        audit_head: Hash of the last entry of the server's audit log.
    """

    calibration: bytes | None = None
    licence: str = NO_LICENCE
    audit_head: str | None = None

    def __post_init__(self) -> None:
        """Refuses what is no hash.

        Raises:
            ConfigError: It is none.
        """
        if self.audit_head is not None and not re.fullmatch("[0-9a-f]{64}", self.audit_head):
            raise ConfigError("expected as the audit log's head the 64 hexadecimal digits of `fedvoxel audit verify`")


def export_model(
    model: JobModel, description: ModelDescription, identity: Identity, folder: Path, now: datetime, beside: Beside
) -> tuple[Package, Forms]:
    """Writes a package of a model into a folder, and opens it as a reader would.

    Args:
        model: Which.
        description: What it finds, on what.
        identity: Who signs.
        folder: Where it goes.
        now: The present (aware).
        beside: What else goes into it.

    Raises:
        ConfigError: The network cannot be converted, its arguments not be written into a MONAI bundle, or the
            calibration is of another model.
        PackageError: A form does not agree with the network, the signer is not one whose signature counts, or the
            package cannot be written.
    """
    if beside.calibration is not None:
        check_calibration(beside.calibration, description, model.file.sha256)
    config, channels = model.task.training, description.channels
    network = build_network(config.network, channels, config.seed)
    set_weights(network, model.weights)
    members = bundle_of(description, config.network.name, network_arguments(config.network, channels), beside.licence)
    if beside.calibration is not None:
        members[CALIBRATION] = beside.calibration
    forms = forms_of(network, config.inference.roi_size, channels)
    provenance = provenance_of(model, forms, beside.audit_head)
    members |= {ONNX: forms.onnx, WEIGHTS: forms.weights, PROGRAM: forms.program}
    members[PROVENANCE] = text_of_json(provenance.model_dump(mode="json"))
    members[MODEL_CARD] = model_card(description, provenance)
    members[SBOM] = sbom_of(description, provenance, members, moment(now))
    return write_package(folder, description, members, identity, now), forms
