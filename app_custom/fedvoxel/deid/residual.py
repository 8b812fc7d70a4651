"""Searches cleaned objects for what had to go: the gate before a `DeidentifiedSeries` exists.

It does not trust the engine. Three things are looked at in every object, at every depth:

- structure: each attribute is on the allow-list or one that the marking writes; none is private; each UID is registered
  by the standard or was made from the project's key; no date is the one that stood there before;
- text: no value holds a piece of a name, or an identifier, of the originals. Pieces of less than 3 characters are
  not searched, since they occur everywhere. A piece counts as found where it is a whole word, or from 6 characters on
  with a letter among them anywhere. Digits alone count as a whole value or word only, not inside of decimals or UIDs,
  where any digits come up by chance, and as a number's value (`NumberSearch`): the patient 512 is not given
  away by 512 rows. A value that is a term of the standard, or a name of the cohort's configuration,
  is passed over: a patient called Lung is not given away by the word "LUNG" that every scan of a lung has;
- bytes: the object is encoded as it would be written, and no original UID, and no identifier of 6 and more
  characters with a letter, occurs in these bytes, whatever the attribute; except one that is part of a word of the
  standard.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

from fedvoxel.deid.allow_list import ALLOWED
from fedvoxel.deid.allowed_terms import KERNEL
from fedvoxel.deid.codes import NEUTRAL, known_meanings
from fedvoxel.deid.device_rules import MANUFACTURERS, MODELS
from fedvoxel.deid.faults import deid_error
from fedvoxel.deid.identifier_numbers import NumberSearch
from fedvoxel.deid.identifiers import Identifiers, identifiers_of
from fedvoxel.deid.keys import DEVICE_PREFIX
from fedvoxel.deid.known_uids import REGISTERED
from fedvoxel.deid.marking import FIXED_TEXTS, IMPLEMENTATION, IN_CONCEPTS, MARKED
from fedvoxel.deid.rules import Constant, Terms, values_of
from fedvoxel.deid.subject import Subject
from fedvoxel.deid.writing import encode

_SUBSTRING_FROM = 6
_UID_LIKE = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}")
_NUMBERED = re.compile(r"segment( \d{1,5})?")
_WORD = re.compile(r"[^\W_]+")
_NESTED = frozenset(ALLOWED) | {int(tag_for_keyword(keyword) or 0) for keyword in IN_CONCEPTS}
_TOP = frozenset(ALLOWED) | {int(tag_for_keyword(keyword) or 0) for keyword in MARKED}
_NUMERIC = frozenset({"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL", "AT", "OW", "OB"})
_DATES = frozenset({"DA", "DT"})
_MOMENT = re.compile(r"\d{2,14}(\.\d{1,6})?")
_KERNEL, _SERIAL_NUMBER = tag_for_keyword("ConvolutionKernel"), tag_for_keyword("DeviceSerialNumber")
_DEVICE = re.compile(DEVICE_PREFIX + "[0-9a-f]{12}")

_Texts = dict[tuple[str, bool], BaseTag]
"""Each text, and whether it stands as a number, to where."""


def check_nothing_left(originals: Sequence[Dataset], cleaned: Sequence[Dataset], subject: Subject) -> None:
    """Refuses cleaned objects in which something of the originals is left.

    Args:
        originals: The objects as they came.
        cleaned: The same objects cleaned, in the same order.
        subject: Whom they are of.

    Raises:
        DeidError: identifier_left; the message says where by attribute, never what.
    """
    identifiers = identifiers_of(originals)
    minted = frozenset(subject.uids.values()) | {IMPLEMENTATION}
    own = _vocabulary_text() + f"\n{DEVICE_PREFIX}\n" + "\n".join(sorted(name.casefold() for name in subject.names))
    searched = frozenset(word for word in identifiers.words if _is_long(word) and word not in own)
    texts: _Texts = {}
    for original, clean in zip(originals, cleaned, strict=True):
        _check_dates(original, clean)
        _check_structure(clean, minted, texts)
        _check_bytes(clean, identifiers.uids, searched)
    numbers = NumberSearch(identifiers.words)
    known = _vocabulary() | subject.names | {subject.pseudonym}
    for (text, is_number), tag in texts.items():
        if not is_number and (text in known or _NUMBERED.fullmatch(text)):
            continue
        if numbers.finds(text) if is_number else _is_hit(text, identifiers):
            raise _left(tag)


def _left(tag: BaseTag) -> Exception:
    return deid_error("identifier_left", f"the cleaned object still holds an identifier in {BaseTag(tag)}")


def _check_dates(original: Dataset, clean: Dataset) -> None:
    for tag in list(clean.keys()):
        element = clean[tag]
        if element.VR in _DATES and element.value and tag in original and element.value == original[tag].value:
            raise _left(element.tag)


def _check_structure(top: Dataset, minted: frozenset[str], texts: _Texts) -> None:
    waiting = [top]
    while waiting:
        dataset = waiting.pop()
        for tag in list(dataset.keys()):
            element = dataset[tag]
            vr = element.VR
            if int(tag) not in (_TOP if dataset is top else _NESTED):
                raise _left(element.tag)
            if vr == "SQ":
                waiting += element.value
            elif vr == "UI":
                if any(uid not in minted and uid not in REGISTERED for uid in _filled(element.value)):
                    raise _left(element.tag)
            else:
                texts |= {(text, vr in _NUMERIC): element.tag for text in _searched_texts(element)}


def _searched_texts(element: DataElement) -> Iterator[str]:
    """Yields a value's parts, less those whose form alone says what they are: times, kernels, our device pseudonyms."""
    for part in _filled(element.value):
        is_moment = element.VR in ("DA", "DT", "TM") and _MOMENT.fullmatch(part)
        is_kernel = element.tag == _KERNEL and KERNEL.pattern.fullmatch(part)
        is_device = element.tag == _SERIAL_NUMBER and _DEVICE.fullmatch(part)
        if not (is_moment or is_kernel or is_device):
            yield part


def _filled(value: object) -> Iterator[str]:
    return (str(part) for part in values_of(value) if part not in (None, ""))


def _is_hit(text: str, identifiers: Identifiers) -> bool:
    folded = text.strip().casefold()
    if folded in identifiers.words:
        return True
    if any(word in identifiers.words for word in _WORD.findall(folded)):
        return True
    return any(_is_long(word) and word in folded for word in identifiers.words) or any(
        uid in folded for uid in identifiers.uids
    )


def _check_bytes(clean: Dataset, uids: set[str], words: frozenset[str]) -> None:
    encoded = encode(clean)
    if any(found.decode() in uids for found in _UID_LIKE.findall(encoded)):
        raise deid_error("identifier_left", "an original UID stands in the cleaned object's bytes")
    folded = encoded.lower()
    if any(word.encode("utf-8", "replace") in folded for word in words):
        raise deid_error("identifier_left", "an original identifier stands in the cleaned object's bytes")


def _is_long(word: str) -> bool:
    return len(word) >= _SUBSTRING_FROM and not word.isdigit()


@cache
def _vocabulary() -> frozenset[str]:
    """Returns the values that come from the standard, or from lists of ours, and so from no patient."""
    words = {*MANUFACTURERS, *MODELS, *FIXED_TEXTS, *NEUTRAL, *known_meanings()}
    for allowed in ALLOWED.values():
        if isinstance(allowed.rule, Terms):
            words |= allowed.rule.terms
        elif isinstance(allowed.rule, Constant):
            words.add(allowed.rule.value)
    return frozenset(words)


@cache
def _vocabulary_text() -> str:
    """Returns the same, and the kernels, as one text, folded to lower case."""
    return "\n".join(sorted(value.casefold() for value in (*_vocabulary(), KERNEL.pattern.pattern)))
