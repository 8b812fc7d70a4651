"""What a consortium asks before a package is released: a small file that people agree on before there is a package."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.federation.promise import Promise
from fedvoxel.federation.reader_study.requirement import ReaderStudyRequirement
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.names import ModelName

Organisation = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class PromotionPolicy(FrozenModel):
    """Is the content of the file. Nothing has a default: what is not asked for is said to be so, with null or 0.

    Attributes:
        model: Name of the model that it is for.
        hospitals: Whose reports count: organisations, as certificates of their people name them.
        at_least: How many of them must have evaluated the package.
        metric: By what; higher is better, from 0 to 1.
        margin: How much worse than the present release is still good enough.
        tolerance_mm: That of NSD; null for Dice.
        first_at_least: Where nothing is released yet: what the lower limit (95 %) of every structure's mean must reach
            at every hospital; null where no first release may come through these gates.
        privacy: What must be guaranteed, at least; null for nothing.
        privacy_audits: How many hospitals' privacy audits must have found no more than is claimed.
        reader_study: What is asked of a reader study; null for none.
    """

    schema_version: Literal[1] = 1
    model: ModelName
    hospitals: Annotated[tuple[Organisation, ...], Field(min_length=1, max_length=200)]
    at_least: Annotated[int, Field(ge=1, strict=True)]
    metric: Literal["dice", "nsd"]
    margin: Annotated[float, Field(gt=0, le=0.5)]
    tolerance_mm: Annotated[float, Field(gt=0, le=50)] | None
    first_at_least: Annotated[float, Field(ge=0, le=1)] | None
    privacy: Promise | None
    privacy_audits: Annotated[int, Field(ge=0, strict=True)]
    reader_study: ReaderStudyRequirement | None

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if len(set(self.hospitals)) != len(self.hospitals):
            raise ValueError("a hospital is named twice")
        if max(self.at_least, self.privacy_audits) > len(self.hospitals):
            raise ValueError(f"at_least and privacy_audits: at most the {len(self.hospitals)} hospitals that are named")
        if (self.metric == "nsd") != (self.tolerance_mm is not None):
            raise ValueError("tolerance_mm goes with nsd, and null with dice")
        return self

    @property
    def sha256(self) -> str:
        """Is the hash by which a release names it."""
        return sha256_of(self.model_dump(mode="json"))


def read_promotion_policy(path: Path) -> PromotionPolicy:
    """Reads a policy.

    Raises:
        ConfigError: The file is missing, or is none.
    """
    return load_json_config(PromotionPolicy, path, "the promotion policy")
