"""Divides patients into subgroups of which none, and nothing that can be computed from them, is about a few.

A subgroup that is too small goes together with the next; a table that, with those before it, would let somebody compute
a mean over fewer patients than the minimum is withheld as a whole.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.cohorts.cells import AGE_EDGES, band_name
from fedvoxel.evaluation.judgement.case_result import CaseResult
from fedvoxel.volumes.disclosure import OTHER, merged_bands, merged_counts, rolled_up_names

Kind = Literal["hospital", "strength", "scanner", "sex", "age"]
KINDS: tuple[Kind, ...] = ("hospital", "strength", "scanner", "sex", "age")
"""In the order in which tables are given up last."""

Place = Mapping[str, str]
"""Each patient's subgroup."""

_SEXES = {"F": "female", "M": "male", "O": "other than female or male"}
_UNKNOWN = "not known"
_DIFFERS = "differs between scans"
_STRENGTHS = ((1.2, "below 1.5 T"), (1.8, "1.5 T"), (2.6, "1.8 to 2.6 T"), (3.4, "3 T"), (25.0, "above 3 T"))
"""Where bands of field strength end, in tesla: magnets are not exactly what they are called (1.494, 2.894)."""

_MOST_SETS = 400_000
_BLOCK = 20_000
_ZERO = 1e-9


@dataclass(frozen=True)
class Person:
    """Is what subgroups are made of.

    Attributes:
        person: Hospital and pseudonym.
        hospital: The site.
        strength: In which band the field strength is.
        scanner: Maker, then field strength where it has one.
        sex: In words.
        age: In years at the first scan; None where nobody says.
    """

    person: str
    hospital: str
    strength: str
    scanner: tuple[str, ...]
    sex: str
    age: float | None


def people_of(cases: Sequence[CaseResult]) -> tuple[Person, ...]:
    """Returns the patients of some cases."""
    groups: dict[str, list[CaseResult]] = {}
    for case in cases:
        groups.setdefault(case.person, []).append(case)
    return tuple(_person(name, group) for name, group in sorted(groups.items()))


def divide(people: Sequence[Person], minimum: int) -> dict[Kind, Place]:
    """Returns every division that tells at least two subgroups apart, none of fewer patients than `minimum`."""
    found: dict[Kind, Place] = {}
    for kind in KINDS:
        place = _place(kind, people, minimum)
        sizes = Counter(place.values())
        if len(sizes) > 1 and min(sizes.values()) >= minimum and not tells_of_few([*found.values(), place], minimum):
            found[kind] = place
    return found


def in_order(place: Place) -> list[str]:
    """Returns the names of the subgroups as they are listed: the youngest first, others last."""
    first = ("under ", "below ")
    return sorted(set(place.values()), key=lambda name: (name in (OTHER, _UNKNOWN), not name.startswith(first), name))


def tells_of_few(tables: Sequence[Place], minimum: int) -> bool:
    """Says whether sums over the cells of all tables give away a sum over fewer patients than `minimum`.

    Every cell of every table is one equation. A set of patients is given away where its own equation is a linear
    combination of these. Patients who share all cells cannot be told apart, so sets of such groups are looked at. Where
    there are too many to look at, the answer is yes.
    """
    groups = Counter(tuple(table[person] for table in tables) for person in tables[0])
    names, sizes = list(groups), list(groups.values())
    cells = sorted({(number, cell) for name in names for number, cell in enumerate(name)})
    equations = np.array([[name[number] == cell for name in names] for number, cell in cells], dtype=np.float64)
    return _gives_away_few(equations, sizes, minimum)


def sets_tell_of_few(sets: Sequence[Set[str]], minimum: int) -> bool:
    """Says whether sums over some sets of patients, which may overlap, give away a sum over fewer than `minimum`.

    As `tells_of_few`, but of those who are outside of a set nothing is known.
    """
    groups = Counter(tuple(person in one for one in sets) for person in frozenset().union(*sets))
    names, sizes = list(groups), list(groups.values())
    equations = np.array([[name[number] for name in names] for number in range(len(sets))], dtype=np.float64)
    return _gives_away_few(equations, sizes, minimum)


def _gives_away_few(equations: NDArray[np.float64], sizes: Sequence[int], minimum: int) -> bool:
    """Says whether the equations (equations, groups) fix a sum over groups with fewer than `minimum` patients."""
    free = _null_space(equations)
    small = [place for place, size in enumerate(sizes) if size < minimum]
    for count in range(1, min(minimum, len(small) + 1)):
        if comb(len(small), count) > _MOST_SETS:
            return True
        sets = combinations(small, count)
        while block := list(islice(sets, _BLOCK)):
            chosen = np.array(block)
            few = np.array(sizes)[chosen].sum(axis=1) < minimum
            if np.any(np.abs(free[chosen[few]].sum(axis=1)).max(axis=1, initial=0.0) < _ZERO):
                return True
    return False


def _null_space(equations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the directions (groups, freedoms) in which the groups' sums can change with no cell's sum changed."""
    _, lengths, directions = np.linalg.svd(equations)
    rank = int(np.count_nonzero(lengths > _ZERO * max(equations.shape)))
    return np.asarray(directions[rank:].T)


def _place(kind: Kind, people: Sequence[Person], minimum: int) -> Place:
    if kind == "scanner":
        names = rolled_up_names(Counter(one.scanner for one in people), minimum)
        return {one.person: names[one.scanner] for one in people}
    if kind == "age":
        bands = merged_bands([one.age for one in people if one.age is not None], AGE_EDGES, minimum)
        values = [band_name(one.age, bands) for one in people]
    else:
        values = [getattr(one, kind) for one in people]
    told = merged_counts(Counter(values), minimum)
    return {one.person: value if value in told else OTHER for one, value in zip(people, values, strict=True)}


def _person(name: str, cases: Sequence[CaseResult]) -> Person:
    strengths, scanners = {_strength(case) for case in cases}, {_scanner(case) for case in cases}
    sexes = {_SEXES.get(str(case.known.get("PatientSex")), _UNKNOWN) for case in cases}
    ages = [age for case in cases if isinstance(age := case.known.get("PatientAge"), float)]
    return Person(
        person=name,
        hospital=cases[0].hospital,
        strength=strengths.pop() if len(strengths) == 1 else _DIFFERS,
        scanner=scanners.pop() if len(scanners) == 1 else ("several scanners",),
        sex=sexes.pop() if len(sexes) == 1 else _DIFFERS,
        age=min(ages, default=None),
    )


def _strength(case: CaseResult) -> str:
    field = case.known.get("MagneticFieldStrength")
    if not isinstance(field, float) or field <= 0:
        return _UNKNOWN
    return next((name for end, name in _STRENGTHS if field < end), _UNKNOWN)


def _scanner(case: CaseResult) -> tuple[str, ...]:
    maker, field = case.known.get("Manufacturer"), case.known.get("MagneticFieldStrength")
    strength = (f"{field:.3g} T",) if isinstance(field, float) else ()
    if maker is None and not strength:
        return (_UNKNOWN,)
    return (str(maker or "maker not known"), *strength)
