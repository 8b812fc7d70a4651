"""What becomes of each attribute under a policy: the table that a conformance statement has.

Source: DICOM PS3.15 section E.1 and Table E.1-1; PS3.2 section 7.6 (de-identification in a conformance statement).
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, fields

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag

from fedvoxel.deid.allow_list import ALLOWED, Allowed
from fedvoxel.deid.marking import IN_CONCEPTS, MARKED, meaning_of, options_of
from fedvoxel.deid.object_rules import Label
from fedvoxel.deid.patient_rules import Characteristic, Moved
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.standard_table import ACTIONS

_SEQUENCE_DOES = {
    "items": "kept, each item cleaned",
    "frames": "kept with all of its items, each cleaned",
    "codes": "concepts that the standard lists are kept, with its words; others removed",
    "neutral codes": 'concepts that the standard lists are kept, with its words; others become "Tissue"',
}
_OTHERWISE = {"drop": "else removed", "empty": "else emptied", "refuse": "else the object is refused"}
_CONSTANT = ("emptied", "replaced by")
_WRITTEN = {
    **dict.fromkeys(("PatientID", "PatientName"), "replaced by the patient's pseudonym from the project's key"),
    **dict.fromkeys(("CodeValue", "LongCodeValue"), "kept in concepts that the standard lists"),
    **dict.fromkeys(("CodingSchemeDesignator", "CodeMeaning"), "written anew in concepts that the standard lists"),
    "SpecificCharacterSet": "written anew: UTF-8 (ISO_IR 192)",
    "MediaStorageSOPInstanceUID": "written anew: the new SOPInstanceUID",
}
_MARKS = "written: that, and how, the object was de-identified"


@dataclass(frozen=True)
class Row:
    """Is one line of the table.

    Attributes:
        tag: The attribute's tag, or a range of tags.
        attribute: Its keyword, or what the range is.
        profile: The Basic Profile's action of Table E.1-1, "" if the table does not name it.
        does: What happens here.
        option: The code of the option by which it is kept, or "".
    """

    tag: str
    attribute: str
    profile: str
    does: str
    option: str


def conformance_rows(policy: DeidPolicy) -> tuple[Row, ...]:
    """Returns what becomes of every attribute that the standard's table or the allow-list names, sorted by tag."""
    marked = {int(tag_for_keyword(keyword) or 0) for keyword in (*MARKED, *IN_CONCEPTS)}
    rows = [_row(tag, policy, tag in marked) for tag in sorted({*ACTIONS, *ALLOWED, *marked})]
    return (*rows, *_general_rows())


def _row(tag: int, policy: DeidPolicy, is_marked: bool) -> Row:
    allowed = ALLOWED.get(tag)
    keyword = keyword_for_tag(tag) or "(not in PS3.6 any more)"
    if allowed is None:
        does, option = _WRITTEN.get(keyword, _MARKS if is_marked else "removed"), ""
    else:
        does, option = _does(allowed, policy), _option(allowed, policy)
    return Row(str(BaseTag(tag)), keyword, ACTIONS.get(tag, ""), does, option)


def _does(allowed: Allowed, policy: DeidPolicy) -> str:
    otherwise = _OTHERWISE[allowed.otherwise]
    if allowed.rule is None:
        return f"{_SEQUENCE_DOES[allowed.kind]}; {otherwise}"
    if isinstance(allowed.rule, Moved) and policy.dates == "remove":
        return otherwise.removeprefix("else ")
    if isinstance(allowed.rule, Characteristic) and not policy.patient_characteristics:
        return otherwise.removeprefix("else ")
    does = allowed.rule.does
    return does if does.startswith(_CONSTANT) else f"{does}; {otherwise}"


def _option(allowed: Allowed, policy: DeidPolicy) -> str:
    if isinstance(allowed.rule, Moved):
        return "113107" if policy.dates == "shift" else ""
    if isinstance(allowed.rule, Characteristic):
        return "113108" if policy.patient_characteristics else ""
    if isinstance(allowed.rule, Label):
        return "113105"
    if allowed.keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber"):
        return "113109" if policy.device_identity else ""
    return ""


def _general_rows() -> Iterator[Row]:
    for tag, attribute in (
        ("(gggg,eeee)", "private attributes (odd groups)"),
        ("(50xx,eeee)", "curves"),
        ("(60xx,eeee)", "overlays"),
    ):
        yield Row(tag, attribute, "X", "removed", "")
    yield Row("(0002,eeee)", "file meta information and preamble", "", "written anew; nothing of the original's", "")
    pixels = "stored values within BitsStored, written uncompressed; the policy's regions made black"
    yield Row("(7FE0,0010)", "PixelData", "", pixels, "113101")
    yield Row("", "every other attribute, known or not", "", "removed", "")


def as_csv(policy: DeidPolicy) -> str:
    """Returns the table as CSV with a line of headings."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in conformance_rows(policy))
    return stream.getvalue()


def as_markdown(policy: DeidPolicy) -> str:
    """Returns the statement as Markdown: the choices, then the table."""
    lines = ["# De-identification conformance statement", "", *_choices(policy), "", *_heading()]
    lines += [
        f"| {row.tag} | {row.attribute} | {row.profile} | {row.does} | {row.option} |" for row in _escaped(policy)
    ]
    return "\n".join(lines) + "\n"


def _escaped(policy: DeidPolicy) -> Iterator[Row]:
    for row in conformance_rows(policy):
        yield Row(*(getattr(row, field.name).replace("|", "\\|") for field in fields(Row)))


def _heading() -> list[str]:
    return ["| tag | attribute | PS3.15 E.1-1 | what is done | option |", "|---|---|---|---|---|"]


def _choices(policy: DeidPolicy) -> list[str]:
    masked, named = bool(policy.device_texts), True
    lines = [f"- {code} {meaning_of(code)}" for code in options_of(policy, masked, named)]
    devices = f"{len(policy.device_texts)} devices' regions are made black" if masked else "refused"
    body_part = policy.body_part or "none: series must say it themselves"
    return [
        f"Project: {policy.project}",
        "",
        "Profile and options (PS3.15 Annex E; 113101 and 113105 are recorded in objects to which they were applied):",
        "",
        *lines,
        "",
        f"- Kinds of object: {', '.join(policy.sop_classes)}",
        f"- Text in pixels: {devices}",
        f"- Faces: {policy.faces}; body part declared for the cohort: {body_part}",
        f"- Patients without an ID: {policy.unnamed_patients}",
        f"- Dates: {policy.dates}",
    ]
