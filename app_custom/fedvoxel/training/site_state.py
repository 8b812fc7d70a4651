"""What a site keeps of its own from round to round: control variates, parameters that never leave, what a codec left.

Where a trainer keeps its optimiser's moments and the epochs of an open round is named here too, and forgotten here; see
`training.resumption`.

Control variates of site and server must belong together: c is the mean of the c_k that the server has heard of. So what
a round makes is only proposed, and counts once the server's next message says that the update was accepted; otherwise
it is dropped, as the update was. Both are in files, each twice, so that they outlive the trainer's process, and a byte
that changes on the disk. What training can do without lies there once: the personal model as it is scored, moments,
and the epochs of an open round.
"""

import re
from pathlib import Path
from typing import Literal, get_args

from fedvoxel.records.twofold import drop_twofold, move_twofold
from fedvoxel.training.round_memory import CarriedKind, RoundMemory
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import keep_weights, kept_weights

StateKind = Literal["site_state", "codec_memory", "sum_memory"]
STATE_KINDS: tuple[StateKind, ...] = get_args(StateKind)
MomentsKind = Literal["moments", "personal_moments"]
MOMENTS_KINDS: tuple[MomentsKind, ...] = get_args(MomentsKind)
"""Whose moments: those of the model that is sent, or of the personal one beside it."""


class SiteState:
    """Holds named arrays that count, and those that a round has proposed."""

    def __init__(self, folder: Path, cohort: str, kind: StateKind = "site_state") -> None:
        """Takes the run's folder in the site's state, and the cohort's name, which no path can be."""
        self._folder, self._cohort, self._kind = folder, cohort, kind
        self.personal_file = folder / f"personal_model.{cohort}.npz"
        """Holds the personal model, which counts whatever the server accepts."""
        self.checkpoint_file = folder / f"round_checkpoint.{cohort}.pt"
        """Holds the last finished epoch of a round that is being trained."""

    def carried(self, kind: CarriedKind) -> RoundMemory:
        """Returns what the trainer carries from round to round whatever the server accepts."""
        return RoundMemory(self._folder, self._cohort, kind)

    def begin(self, accepted: int | None) -> Arrays:
        """Returns what counts at the start of a round; nothing as long as no update was accepted.

        Args:
            accepted: The last round in which the server accepted this site's update, if any.

        Raises:
            UpdateError: A file and its copy are not what this package wrote.
        """
        proposed = self._proposed()
        if accepted is None:
            drop_twofold(self._kept())
        elif accepted in proposed:
            move_twofold(proposed.pop(accepted), self._kept())
        for path in proposed.values():
            drop_twofold(path)
        return self._read()

    def forget(self) -> None:
        """Drops what counts; what was proposed stays proposed."""
        drop_twofold(self._kept())

    def forget_run(self) -> None:
        """Drops all of it, and the personal model: another run begins in the same folder.

        A site may miss the first round of that run, so that no round's number says that it is new.
        """
        for path in (self._kept(), *self._proposed().values()):
            drop_twofold(path)
        moments = [path for kind in MOMENTS_KINDS for path in self.moments(kind).values()]
        for path in (self.personal_file, self.checkpoint_file, *moments):
            path.unlink(missing_ok=True)

    def moments_file(self, round_index: int, kind: MomentsKind = "moments") -> Path:
        """Returns the file of an optimiser's moments after a round."""
        return self._folder / f"{kind}_{round_index}.{self._cohort}.pt"

    def moments(self, kind: MomentsKind = "moments") -> dict[int, Path]:
        """Returns the files of an optimiser's moments that there are, by round."""
        return self._by_round(kind, "pt")

    def propose(self, round_index: int, arrays: Arrays) -> None:
        """Keeps what counts from the next round on, if this round's update is accepted."""
        keep_weights(self._folder / f"{self._kind}_{round_index}.{self._cohort}.npz", arrays)

    def latest(self) -> Arrays:
        """Returns what the last round has proposed, or what counts where none has.

        Raises:
            UpdateError: A file and its copy are not what this package wrote.
        """
        proposed = self._proposed()
        return kept_weights(proposed[max(proposed)]) if proposed else self._read()

    def _read(self) -> Arrays:
        return kept_weights(self._kept()) if self._kept().is_file() else {}

    def _kept(self) -> Path:
        return self._folder / f"{self._kind}.{self._cohort}.npz"

    def _proposed(self) -> dict[int, Path]:
        return self._by_round(self._kind, "npz")

    def _by_round(self, kind: str, ending: str) -> dict[int, Path]:
        name = re.compile(rf"{kind}_(\d+)\.{re.escape(self._cohort)}\.{ending}")
        found = ((name.fullmatch(path.name), path) for path in self._folder.iterdir())
        return {int(match[1]): path for match, path in found if match}
