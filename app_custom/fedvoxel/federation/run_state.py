"""All objects of a run whose state decides the rounds to come, as one that can be kept and taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.round_worth import RoundWorth
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.selection import Selector
from fedvoxel.federation.snapshot import Group, Snapshot, joined
from fedvoxel.federation.vetting import Vetting
from fedvoxel.updates.update import check_values

_NO_STATE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What taking back values may end with that no snapshot of this release holds."""


class _Keeps(Protocol):
    def snapshot(self) -> Snapshot: ...

    def restore(self, kept: Snapshot) -> None: ...


@dataclass(frozen=True)
class RunState:
    """Is a run between two of its rounds.

    Attributes:
        worth: None where the job does not ask what updates are worth.
    """

    rounds: Rounds
    selector: Selector
    vetting: Vetting
    recorder: RunRecorder
    worth: RoundWorth | None = None

    def snapshot(self) -> Snapshot:
        """Returns the state of all of them."""
        return joined({name: part.snapshot() for name, part in self._parts.items()})

    def restore(self, kept: Snapshot) -> None:
        """Takes the state of the same job's run back.

        Raises:
            ConfigError: It is none of such a run.
        """
        try:
            for name, part in self._parts.items():
                part.restore(kept.part(name))
        except _NO_STATE as error:
            raise _not_taken_back(error) from None

    @property
    def _parts(self) -> Mapping[str, _Keeps]:
        parts: dict[str, _Keeps] = {"rounds": self.rounds, "selector": self.selector, "vetting": self.vetting}
        return parts | {"recorder": self.recorder} | ({"worth": self.worth} if self.worth else {})


def model_in(kept: Snapshot) -> Group:
    """Returns the global model of a kept run, by which its rounds are made before they take their state back.

    Raises:
        ConfigError: There is none.
    """
    try:
        model = dict(kept.part("rounds").part("own").arrays["model"])
        check_values(model)
    except (*_NO_STATE, UpdateError) as error:
        raise _not_taken_back(error) from None
    return model


def _not_taken_back(error: Exception) -> ConfigError:
    return ConfigError(
        f"the run's journal on the server holds a state that is none of this job's run ({type(error).__name__}): go on "
        "with the release that has written it, put the journal back from a backup, or begin anew with another run_key"
    )
