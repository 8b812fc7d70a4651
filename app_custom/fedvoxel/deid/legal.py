"""What a policy does about the identifiers that two laws name: a statement for a privacy officer, who decides.

Sources: HIPAA Privacy Rule, 45 CFR 164.514(b)(2) (Safe Harbor) and (c) (re-identification codes), with OCR's guidance
on de-identification of November 2012; Singapore's Personal Data Protection Act 2012, with the PDPC's Guide to Basic
Anonymisation (2022). Neither is quoted. No statement here says that a law is complied with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fedvoxel.deid.policy import DeidPolicy

Law = Literal["hipaa", "pdpa"]

State = Literal["removed", "replaced", "stays", "a person decides"]

_CODE = (
    "replaced by a code that is worked out from it with a key of the hospital's; 164.514(c) wants a code that is not "
    "derived from information about the person, so that an expert determines (164.514(b)(1)), or a person decides"
)
_NOT_LISTED = (
    "no attribute meant for it, and no free text, is on the allow-list; the gate searches what is left for the values "
    "that the object itself had in identifying attributes"
)
_FACES = {
    "refuse": "series that show a head, or do not say what they show, are refused; what a series says is believed",
    "defaced": "the hospital declares that faces were removed before; nothing here checks that",
    "kept": "faces stay: a face can be drawn from a volume of the head",
}


@dataclass(frozen=True)
class Line:
    """Is what becomes of one thing that a law names.

    Attributes:
        place: Where the law, or its guide, names it.
        what: In words of our own.
        state: What becomes of it.
        how: By what, and what is left.
    """

    place: str
    what: str
    state: State
    how: str


def lines_of(law: Law, policy: DeidPolicy) -> tuple[Line, ...]:
    """Returns what a policy does about everything that a law names."""
    return tuple(_hipaa(policy) if law == "hipaa" else _pdpa(policy))


def legal_statement(law: Law, policy: DeidPolicy) -> str:
    """Returns the statement as Markdown."""
    lines = lines_of(law, policy)
    open_ones = [line.place for line in lines if line.state in ("stays", "a person decides")]
    said = [
        f"# De-identification and {_TITLES[law]}",
        "",
        f"Project: {policy.project}. What becomes of each identifier under the cohort's policy; the attributes are in",
        "the conformance statement. It helps a privacy officer to decide, and says of nothing that it complies.",
        "",
        "Scans and cleaned objects stay in the hospital: this is about what they would tell if they left it.",
        "",
        "| where | what | here | how, and what is left |",
        "| --- | --- | --- | --- |",
        *(f"| {line.place} | {line.what} | {line.state} | {line.how} |" for line in lines),
        "",
        f"Left to people: {', '.join(open_ones) or 'nothing'}.",
    ]
    return "\n".join(said) + "\n"


_TITLES = {
    "hipaa": "the HIPAA Safe Harbor (45 CFR 164.514(b)(2))",
    "pdpa": "Singapore's PDPA (PDPC, Guide to Basic Anonymisation)",
}


def _hipaa(policy: DeidPolicy) -> Iterator[Line]:
    yield Line("(A)", "names", "removed", f"{_NOT_LISTED}; PatientName is the pseudonym, see (H)")
    yield Line("(B)", "places smaller than a state", "removed", f"institutions and addresses: {_NOT_LISTED}")
    yield _dates(policy)
    for place, what in (
        ("(D)", "telephone numbers"),
        ("(E)", "fax numbers"),
        ("(F)", "e-mail addresses"),
        ("(G)", "social security numbers"),
    ):
        yield Line(place, what, "removed", _NOT_LISTED)
    yield Line("(H)", "medical record numbers", "a person decides", f"PatientID: {_CODE}{_unnamed(policy)}")
    for place, what in (
        ("(I)", "health plan numbers"),
        ("(J)", "account numbers"),
        ("(K)", "certificate and licence numbers"),
        ("(L)", "vehicle identifiers"),
    ):
        yield Line(place, what, "removed", _NOT_LISTED)
    serial = f"the serial number of the scanner: {_CODE}; its maker and model stay"
    removed = "serial number, maker and model are removed"
    kept = policy.device_identity
    yield Line("(M)", "device identifiers", "a person decides" if kept else "removed", serial if kept else removed)
    for place, what in (("(N)", "web addresses"), ("(O)", "internet addresses")):
        yield Line(place, what, "removed", _NOT_LISTED)
    yield Line("(P)", "biometric identifiers", "a person decides", "voxels are not altered: anatomy can be particular")
    yield Line("(Q)", "faces", "stays" if policy.faces == "kept" else "a person decides", _FACES[policy.faces])
    yield Line("(R)", "any other unique number", "a person decides", f"UIDs: {_CODE}; accession numbers are removed")
    known = "no knowledge that what is left identifies a person: nobody but the hospital can have, or lack, that"
    yield Line("all of them", "text written into the image", "a person decides", _text_in_pixels(policy))
    yield Line("(b)(2)(ii)", "actual knowledge", "a person decides", known)


def _dates(policy: DeidPolicy) -> Line:
    age = "ages of 90 years and more become 90" if policy.patient_characteristics else "ages are removed"
    if policy.dates == "remove":
        return Line("(C)", "dates but the year, ages over 89", "removed", f"no date stays; {age}")
    how = (
        "each patient's dates move by one secret interval of up to 10 years, so that no true date stays; moved dates "
        f"are dates all the same, and Safe Harbor wants none but the year; {age}"
    )
    return Line("(C)", "dates but the year, ages over 89", "a person decides", how)


def _unnamed(policy: DeidPolicy) -> str:
    if policy.unnamed_patients == "refuse":
        return "; objects without one are refused"
    return "; objects without one get a code of their StudyInstanceUID, so that studies of one patient are of several"


def _text_in_pixels(policy: DeidPolicy) -> str:
    """Says what becomes of text that a device or a person has written over the image."""
    if policy.device_texts:
        return (
            f"regions of {len(policy.device_texts)} devices, as the policy names them, are made black; other images "
            "that may hold text are refused, by what they say of themselves; nothing here reads the pixels"
        )
    return "images that may hold text are refused, by what they say of themselves; nothing here reads the pixels"


def _pdpa(policy: DeidPolicy) -> Iterator[Line]:
    yield Line("step 1", "which data there are", "removed", "default-deny: what is on no allow-list is not kept")
    yield Line("step 2", "direct identifiers", "removed", f"names, numbers, addresses, institutions: {_NOT_LISTED}")
    pseudonym = (
        "PatientID, UIDs: codes from a key that stays in the hospital; who has the key can undo them by trial"
        f"{_unnamed(policy)}"
    )
    yield Line("step 2", "text written into the image", "a person decides", _text_in_pixels(policy))
    yield Line("step 2", "pseudonyms", "replaced", pseudonym)
    dates = "moved by one secret interval for each patient" if policy.dates == "shift" else "removed"
    yield Line("step 3", "dates", "replaced" if policy.dates == "shift" else "removed", dates)
    traits = policy.patient_characteristics
    kept = "sex, age (90 and more become 90), size to the centimetre, weight to the kilogram"
    yield Line("step 3", "indirect identifiers", "stays" if traits else "removed", kept if traits else "none is kept")
    device = "maker and model stay, the serial number becomes a code" if policy.device_identity else "none is kept"
    yield Line("step 3", "the scanner", "stays" if policy.device_identity else "removed", device)
    yield Line("step 3", "faces", "stays" if policy.faces == "kept" else "a person decides", _FACES[policy.faces])
    risk = "no k-anonymity is worked out for the objects; of what leaves, numbers about few patients are withheld"
    yield Line("step 4", "risk of re-identification", "a person decides", risk)
    yield Line("step 5", "who gets it, and under which terms", "a person decides", "the objects stay in the hospital")
