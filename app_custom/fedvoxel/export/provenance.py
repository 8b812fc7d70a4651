"""Where a model comes from: `provenance.json` in its package. No site's name, no path, no patient."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from pydantic import NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.export.agreement import LARGEST_SOFTMAX, LEAST_ARGMAX
from fedvoxel.export.job_model import JobModel
from fedvoxel.export.manifest import ONNX_INPUT, ONNX_OPSET, ONNX_OUTPUT
from fedvoxel.export.origin import Origin
from fedvoxel.federation.case_counts import tells_case_counts
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.outcome import SiteScore
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.training.config import ComponentConfig

if TYPE_CHECKING:
    from fedvoxel.export.forms import Forms

TOOLS = ("fedvoxel", "monai", "numpy", "onnx", "onnxruntime", "onnxscript", "torch")
"""What has a part in an export."""


class SitePart(FrozenModel):
    """Says what a site had to do with the model.

    Attributes:
        rounds: Rounds to which it contributed.
        training_cases: As its last contribution says; None where the run does not tell, or it made none.
        test: Its scores of the model on cases that nobody trained on; None where there are none.
    """

    rounds: NonNegativeInt
    training_cases: NonNegativeInt | None
    test: SiteScore | None


class Conversion(FrozenModel):
    """Says how well one form agrees with the network, on made-up images."""

    voxels: int
    argmax_agreement: float
    largest_softmax_difference: float


class FormsMade(FrozenModel):
    """Says which forms were made, and what was asked of them."""

    onnx_opset: int = ONNX_OPSET
    onnx_input: str = ONNX_INPUT
    onnx_output: str = ONNX_OUTPUT
    any_window_size: bool
    least_argmax_agreement: float = LEAST_ARGMAX
    largest_softmax_difference: float = LARGEST_SOFTMAX
    found: dict[str, Conversion]


class Privacy(FrozenModel):
    """Is what the run's outcome says, word by word; an epsilon stands only in a whole guarantee.

    Attributes:
        claim: The words.
        guarantee: The same in parts: unit, epsilon, delta, relation, accountant, adversary; None where there is none.
        open_channels: What could have carried private cases out, and nobody accounts for.
        start_from: The earlier run that this one began with.
    """

    claim: str
    guarantee: Guarantee | None
    open_channels: tuple[str, ...]
    start_from: StartModel | None


class Provenance(FrozenModel):
    """Is the content of `provenance.json`.

    Attributes:
        network: What `training.networks.build_network` makes the network of.
        sites: By pseudonym.
        run_versions: Versions at the run's server.
        export_versions: Versions where the package was made.
    """

    schema_version: Literal[1] = 1
    origin: Origin
    network: ComponentConfig
    sites: dict[str, SitePart]
    privacy: Privacy
    forms: FormsMade
    run_versions: dict[str, str]
    export_versions: dict[str, str]


def provenance_of(model: JobModel, forms: "Forms", audit_head: str | None) -> Provenance:
    """Returns where a model comes from."""
    run = model.outcome
    origin = Origin(
        **{name: getattr(run, name) for name in ("job_name", "job_id", "run_key", "status", "started", "finished")},
        rounds_committed=run.rounds_committed,
        model_sha256=model.file.sha256,
        round=model.round,
        tested=model.tested,
        outcome_sha256=model.outcome_sha256,
        audit_head=audit_head,
    )
    found = {
        name: Conversion(voxels=one.voxels, argmax_agreement=one.argmax, largest_softmax_difference=one.softmax)
        for name, one in forms.agreement.items()
    }
    return Provenance(
        origin=origin,
        network=model.task.training.network,
        # In the order of pseudonyms: that of the names would tell whose they are.
        sites={pseudonym: _part(model, site) for site, pseudonym in model.pseudonyms.items()},
        privacy=Privacy(
            claim=run.privacy,
            guarantee=run.guarantee,
            open_channels=tuple(channel.name for channel in run.channels if channel.status == "open"),
            start_from=run.start_from,
        ),
        forms=FormsMade(any_window_size=forms.any_size, found=found),
        run_versions=run.versions,
        export_versions={name: _version(name) for name in TOOLS},
    )


def _part(model: JobModel, site: str) -> SitePart:
    counts = [record.contributed[site] for record in model.outcome.rounds if site in record.contributed]
    told = counts[-1] if counts and tells_case_counts(model.outcome) else None
    test = model.outcome.test.get(site) if model.tested else None
    return SitePart(rounds=len(counts), training_cases=told, test=test)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
