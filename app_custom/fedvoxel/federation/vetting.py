"""What a site's answer to a round is held against before anything of it is taken: the run, the round, what came before.

An honest answer names the run and the round that it is for, moves the model, is new, and has the same cases behind it
as the site's answers before. What fails one of these is refused with the reason, and the round goes on.

What it says of itself in a score is held against what it says of itself in training: a score weighs no more.

What this cannot see: a false Dice, an old update of which one value was changed or that was encoded anew, a made-up
update of plausible size, and a false number of cases that the site keeps to from its first round on, unless the job
fixes `case_counts`. Against these updates: robust aggregation, a bound on the norm, and contribution.

Under a privacy section only the names and the weight are looked at. A hospital without cases answers with zeros there,
which is nobody's to know, and release ids keep an update from being taken twice.
"""

import hashlib
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.updates.correction import split_controls
from fedvoxel.updates.update import PUBLIC_WEIGHT, Arrays, Layout, Update, check_layout


class Vetting:
    """Remembers what a run sent and took: hashes and numbers of cases."""

    def __init__(self, run_key: str, case_counts: Mapping[str, int], private: bool) -> None:
        """Has seen nothing yet.

        Args:
            run_key: Names the run.
            case_counts: Most cases that each of these sites may claim, in training and in validation.
            private: Whether the job has a privacy section.
        """
        self._run_key, self._private = run_key, private
        self._declared, self._claimed = dict(case_counts), dict[str, int]()
        self._models, self._own = dict[str, str](), dict[tuple[str, str], int]()

    def begins(self, model: Arrays) -> None:
        """Remembers the first global model."""
        if not self._private:
            self._models[_digest(model.items())] = "the global model of round 0"

    def moved(self, round_index: int, before: Arrays, after: Arrays) -> None:
        """Remembers what a round made of all its updates: the next global model, and the change to it."""
        if not self._private:
            change = ((name, after[name] - before[name]) for name in after)
            self._models[_digest(change)] = f"the change of the global model in round {round_index}"
            self._models[_digest(after.items())] = f"the global model of round {round_index + 1}"

    def check_named(self, meta: Mapping[str, Any], round_index: int) -> None:
        """Checks that an answer says that it is for this run and this round.

        Raises:
            UpdateError: It is for another, or does not say.
        """
        run_key, named = meta.get("run_key"), meta.get("round")
        if run_key != self._run_key or type(named) is not int or named != round_index:
            raise UpdateError(
                f"an answer to round {str(named)[:20]} of run {str(run_key)[:80]}, expected one to round {round_index} "
                f"of run {self._run_key}"
            )

    def check(self, site: str, update: Update, layout: Layout) -> str:
        """Returns the hash of an update that may be taken, by which `accept` remembers it.

        Raises:
            UpdateError: It has another layout, does not move the model, has been seen before, or claims more cases than
                it may.
        """
        self._check_cases(site, update.case_count)
        check_layout(update.arrays, layout)
        if self._private:
            return ""
        arrays = split_controls(update.arrays)[0]
        if not any(np.any(array) for array in arrays.values()):
            raise UpdateError("zeros: expected an update that moves the model, got one of zeros only")
        digest = _digest(arrays.items())
        known = self._models.get(digest)
        if (site, digest) in self._own:
            known = f"this site's own update of round {self._own[site, digest]}"
        if known is not None:
            raise UpdateError(f"seen before: expected a new update, got {known}")
        return digest

    def accept(self, site: str, update: Update, digest: str, round_index: int) -> None:
        """Remembers an update that was taken; from a site's first one on, its number of cases cannot grow."""
        if not self._private:
            self._own[site, digest] = round_index
            self._claimed.setdefault(site, update.case_count)

    def weighed(self, site: str, score: ValidationScore, trains_on: Any = None) -> ValidationScore:
        """Returns a site's validation score with as many cases as it may weigh in a mean over sites.

        A site that the job names in `case_counts` may validate on so many. Another weighs at most what it weighs in the
        model, or where it trains on none, what the site in the middle does. The server knows of nobody's cases under a
        privacy section or in sums: there the job's `max_cases_per_site` is all.

        Args:
            site: Whose it is.
            score: What it has sent.
            trains_on: The training cases that it claims in the same reply, where there is one.

        Raises:
            UpdateError: It is of more cases than the job gives the site.
        """
        named = self._declared.get(site)
        if named is not None:
            if score.cases > named:
                raise UpdateError(
                    f"absurd weight: the job gives this site {named} cases, got a validation score of {score.cases}"
                )
            return score
        most = None if self._private else self._most_unnamed(site, trains_on)
        return score if most is None else score.model_copy(update={"cases": min(score.cases, most)})

    def snapshot(self) -> Snapshot:
        """Returns what is remembered."""
        own = [[site, digest, index] for (site, digest), index in self._own.items()]
        return Snapshot({"claimed": dict(self._claimed), "models": dict(self._models), "own": own})

    def restore(self, kept: Snapshot) -> None:
        """Takes back what was remembered."""
        self._claimed, self._models = dict(kept.values["claimed"]), dict(kept.values["models"])
        self._own = {(site, digest): index for site, digest, index in kept.values["own"]}

    def _most_unnamed(self, site: str, trains_on: Any) -> int | None:
        if site in self._claimed:
            return self._claimed[site]
        if type(trains_on) is int and trains_on > 0:
            return trains_on
        return statistics.median_low(self._claimed.values()) if self._claimed else None

    def _check_cases(self, site: str, count: Any) -> None:
        if self._private and (type(count) is not int or count != PUBLIC_WEIGHT):
            raise UpdateError(
                f"absurd weight: every site counts as {PUBLIC_WEIGHT} under a privacy section, got {count!r}"
            )
        if count > self._declared.get(site, count):
            raise UpdateError(f"absurd weight: the job gives this site {self._declared[site]} cases, got {count}")
        if count > self._claimed.get(site, count):
            raise UpdateError(f"absurd weight: this site began with {self._claimed[site]} cases, got {count}")


def _digest(arrays: Iterable[tuple[str, NDArray[np.float32]]]) -> str:
    """Returns a hash of float32 arrays with their names, in any order, that holds no two of them at once.

    Of what is no array of floats it is that of its type; it is refused later, for a better reason.
    """
    parts = []
    for name, array in arrays:
        part = hashlib.sha256(name.encode("utf-8", "replace") + b"\0")
        plain = array.dtype.kind == "f"
        part.update(np.ascontiguousarray(array, np.float32).data if plain else str(array.dtype).encode())
        parts.append(part.hexdigest())
    return hashlib.sha256("".join(sorted(parts)).encode()).hexdigest()
