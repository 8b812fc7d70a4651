"""A PACS over DIMSE: C-ECHO, C-FIND, C-GET or C-MOVE, and C-STORE (PS3.4 Annexes A, B and C)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as FindModel,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as GetModel,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as MoveModel,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from fedvoxel.dicom.association import associated, failure, status_of
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.incoming import Progress
from fedvoxel.dicom.pacs import RETURN_KEYS, Level, Request
from fedvoxel.dicom.pacs_config import DimseConfig
from fedvoxel.dicom.storage_classes import BY_MODALITY, TRANSFER_SYNTAXES
from fedvoxel.dicom.storage_scp import receiving, stored
from fedvoxel.dicom.watch import Watch

_PENDING = (0xFF00, 0xFF01)
_STORE_WARNINGS = (0xB000, 0xB006, 0xB007)
_LATE_S = 2.0


class DimseTransport:
    """Is the DIMSE side of one PACS."""

    def __init__(self, config: DimseConfig, base: Path) -> None:
        self._config, self._base = config, base
        if config.tls is not None:
            from fedvoxel.dicom.certificates import client_context

            client_context(config.tls, base)

    def check(self) -> None:
        """Does nothing if the PACS answers C-ECHO and offers what this site needs.

        Raises:
            DicomError: What is wrong.
        """
        needed = {
            Verification: "C-ECHO",
            FindModel: "C-FIND",
            self._retrieve_model: f"C-{self._config.retrieve.upper()}",
        }
        watch = Watch(self._config)
        with self._associated([build_context(uid) for uid in needed], watch) as association:
            offered = {context.abstract_syntax for context in association.accepted_contexts}
            lacking = [name for uid, name in needed.items() if uid not in offered]
            if lacking:
                raise dicom_error("pacs_unsupported", f"the PACS does not offer {' and '.join(lacking)}")
            status = status_of(association.send_c_echo())
            if status != 0:
                raise failure(watch, status, "C-ECHO")
        if self._config.retrieve == "move":
            # Only whether this site can listen there: whom the PACS would send to, it does not say.
            with receiving(self._config, self._base, _keep_nothing, Watch(self._config)):
                pass

    @contextmanager
    def searching(self) -> Iterator["DimseSearch"]:
        """Returns a block in which questions are asked over one association."""
        watch = Watch(self._config)
        with self._associated([build_context(FindModel)], watch) as association:
            yield DimseSearch(association, watch)

    def retrieve(self, request: Request, progress: Progress | None) -> None:
        """Has the PACS send what is asked for, by C-GET or C-MOVE.

        Raises:
            DicomError: It fails, breaks off, or sends what was not asked for.
        """
        watch = Watch(self._config)

        def take(content: Sequence[bytes]) -> None:
            request.receipt.take(content)
            if progress is not None:
                progress(*request.receipt.count())

        if self._config.retrieve == "get":
            contexts = [build_context(GetModel), *_storage_contexts(request)]
            handler: Any = lambda event: stored(event, take, watch)  # noqa: E731
            with self._associated(contexts, watch, handler) as association:
                self._ask_for_all(association, request, watch)
            return
        with receiving(self._config, self._base, take, watch):
            with self._associated([build_context(MoveModel)], watch) as association:
                self._ask_for_all(association, request, watch)
            _wait_for_latecomers(request)

    def send(self, instances: Sequence[Path | Dataset]) -> None:
        """Stores instances by C-STORE, files as they are.

        Raises:
            DicomError: The PACS did not take every one of them.
        """
        from fedvoxel.dicom.sending import contexts_for

        watch = Watch(self._config)
        contexts = contexts_for(instances)
        with self._associated(contexts, watch) as association:
            for number, instance in enumerate(instances):
                try:
                    status = status_of(association.send_c_store(instance))
                except ValueError:
                    found = f"the PACS does not take the kind or encoding of instance {number + 1} of {len(instances)}"
                    raise dicom_error("pacs_not_stored", found) from None
                except RuntimeError:
                    status = -1
                if status not in (0, *_STORE_WARNINGS):
                    raise _not_stored(watch, status, number, len(instances))

    @property
    def _retrieve_model(self) -> Any:
        return GetModel if self._config.retrieve == "get" else MoveModel

    def _associated(self, contexts: Sequence[PresentationContext], watch: Watch, store: Any = None) -> Any:
        return associated(self._config, self._base, contexts, watch, store)

    def _ask_for_all(self, association: Association, request: Request, watch: Watch) -> None:
        _expect_context(association, self._retrieve_model, self._config.retrieve)
        for uid in request.instance_uids or ("",):
            identifier = _retrieve_keys(request, uid)
            if self._config.retrieve == "get":
                answers = association.send_c_get(identifier, GetModel)
            else:
                answers = association.send_c_move(identifier, self._config.calling_ae_title, MoveModel)
            status = -1
            for answer, _ in answers:
                status = status_of(answer)
                if watch.fault is not None:
                    raise watch.fault
            # 0xB000: some instances failed; which, the receipt knows.
            if status not in (0x0000, 0xB000):
                raise failure(watch, status, f"C-{self._config.retrieve.upper()}")


class DimseSearch:
    """Asks questions over one association."""

    def __init__(self, association: Association, watch: Watch) -> None:
        _expect_context(association, FindModel, "find")
        self._association, self._watch = association, watch

    def ask(self, level: Level, keys: Mapping[str, str], most: int, more: Sequence[str] = ()) -> list[dict[str, str]]:
        """Returns the answers of the PACS as keyword and text.

        Raises:
            DicomError: It fails, or has more than `most` answers.
        """
        question = Dataset()
        question.QueryRetrieveLevel = level
        wanted = (*RETURN_KEYS[level], *more)
        for keyword in wanted:
            setattr(question, keyword, keys.get(keyword, ""))
        answers: list[dict[str, str]] = []
        status = -1
        for answer, identifier in _asked(self._association, question):
            status = status_of(answer)
            if status not in _PENDING:
                break
            if identifier is None:
                raise dicom_error("pacs_garbled", "the PACS answers C-FIND with what is no data set")
            answers.append(_texts(identifier, wanted))
            if len(answers) > most:
                self._watch.fail(dicom_error("pacs_too_much", f"the PACS has more than {most} answers"))
        if status != 0:
            raise failure(self._watch, status, "C-FIND")
        return answers


def _asked(association: Association, question: Dataset) -> Iterator[tuple[Dataset, Dataset | None]]:
    try:
        yield from association.send_c_find(question, FindModel)
    except RuntimeError:
        yield Dataset(), None


def _texts(answer: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    """Returns an answer's elements as text; those that the PACS left out are left out."""
    texts = {}
    for keyword in keywords:
        if keyword not in answer:
            continue
        try:
            value = answer[keyword].value
        except Exception:
            raise dicom_error("pacs_garbled", f"the PACS answers with a {keyword} that cannot be read") from None
        texts[keyword] = "" if value is None else str(value).strip()
    return texts


def _expect_context(association: Association, model: Any, name: str) -> None:
    if model not in {context.abstract_syntax for context in association.accepted_contexts}:
        raise dicom_error("pacs_unsupported", f"the PACS does not offer C-{name.upper()}")


def _storage_contexts(request: Request) -> list[PresentationContext]:
    kinds = request.sop_class_uids or frozenset(BY_MODALITY.get(request.found.modality, ()))
    contexts = [build_context(kind, syntax) for kind in sorted(kinds) for syntax in TRANSFER_SYNTAXES]
    if not contexts or len(contexts) >= 128:
        raise dicom_error("pacs_unsupported", f"a series of {len(kinds)} kinds of objects cannot be asked for")
    return contexts


def _retrieve_keys(request: Request, instance_uid: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE" if instance_uid else "SERIES"
    identifier.StudyInstanceUID = request.found.study_uid
    identifier.SeriesInstanceUID = request.found.series_uid
    if instance_uid:
        identifier.SOPInstanceUID = instance_uid
    return identifier


def _keep_nothing(_: Sequence[bytes]) -> None:
    raise dicom_error("pacs_foreign_instance", "the PACS sent what nobody asked for")


def _wait_for_latecomers(request: Request) -> None:
    """Waits a little for instances that the PACS sends after it said that it was done with a move."""
    deadline = time.monotonic() + _LATE_S
    while time.monotonic() < deadline and request.receipt.missing():
        time.sleep(0.1)


def _not_stored(watch: Watch, status: int, number: int, count: int) -> Exception:
    if watch.fault is not None or status == -1:
        return failure(watch, status, "C-STORE")
    found = f"the PACS refused instance {number + 1} of {count} (status 0x{status:04X})"
    return dicom_error("pacs_not_stored", found)
