"""What a site answers when the server shows it its audit log, and what a server may show to a site."""

import copy
import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import strategies as st
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

from fedvoxel.export.signature import sign
from fedvoxel.flare.messages import COUNTERSIGN_TOPIC
from fedvoxel.flare.site_audit import answer_countersigning
from fedvoxel.governance.audit_report import verify_log
from fedvoxel.governance.countersigning import PURPOSE, Question
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.canonical import canonical_json
from tests.export.throwaway_root import NOW
from tests.flare.test_countersigning import countersigning
from tests.fuzz.der import mutated_der, pem, said_in, signed_anew, signs
from tests.fuzz.mutation import HOSTILE, mutated_value, plain
from tests.fuzz.target import Target, UnwantedError
from tests.governance.audited_logs import JOB, SITES, MadeUpRun, made_up_run

_SITE = SITES[0]


@cache
def _run() -> tuple[MadeUpRun, Question, Any, Any]:
    """A run of two rounds, what the server shows next, what its first site answers, and one that refuses."""
    run = made_up_run(Path(mkdtemp(prefix="fedvoxel_fuzz_")), rounds=2)
    question = run.question(_SITE, 2)
    shutil.copytree(run.folder / _SITE, run.folder / "before")
    answer = run.answer(_SITE, question).model_dump(mode="json")
    shutil.rmtree(run.folder / _SITE)
    (run.folder / "before").rename(run.folder / _SITE)
    return run, question, answer, {"known": 3, "reason": "this site has signed more than it is shown"}


@st.composite
def _answers(draw: st.DrawFn) -> Any:
    """An answer that was edited, and perhaps signed anew; or no answer at all."""
    run, question, answer, refusal = _run()
    said = plain(draw(mutated_value((answer, refusal))))
    if isinstance(said, dict) and draw(st.booleans()):
        own = {"entries": said.get("own_entries"), "head": said.get("own_head")}
        said["signature"] = _signature(run, {"server_log": question.shown.model_dump(mode="json"), "site_log": own})
    if isinstance(said, dict) and isinstance(said.get("signature"), dict) and draw(st.booleans()):
        der = x509.load_pem_x509_certificate(run.identities[_SITE].certificate.encode()).public_bytes(Encoding.DER)
        changed = signed_anew(der, draw(mutated_der((said_in(der),))), signs(run.root.key))
        said["signature"]["certificate"] = pem("CERTIFICATE", changed).decode()
    if draw(st.integers(0, 9)) == 0:
        return plain(draw(st.sampled_from(HOSTILE)))
    reply = make_reply(draw(st.sampled_from((ReturnCode.OK, ReturnCode.OK, ReturnCode.OK, "", "\ud800"))))
    reply["answer"] = said
    return reply


def _signature(run: MadeUpRun, content: Any) -> Any:
    try:
        return sign(run.identities[_SITE], PURPOSE, canonical_json(content), NOW).model_dump(mode="json")
    except ValueError:
        return None


def _receive(reply: Any, folder: Path) -> None:
    """Whatever one site says, the log has a line of each site, and can be read, verified and shown again."""
    run = copy.copy(_run()[0])
    shutil.copytree(run.folder / "server", folder / "server")
    run.folder, run.server = folder, AuditLog(folder / "server")
    before = len(run.server.read())
    countersigning(run, lambda site, _: reply if site == _SITE else Shareable()).end(SITES, 2)
    told = [event for _, event in run.server.read()[before:]]
    if [event.site for event in told][:2] != list(SITES):
        raise UnwantedError("a log that lacks what was recorded")
    if not verify_log(run.file("server"), run.trust, None, NOW).entries:
        raise UnwantedError("a log that cannot be verified any more")
    run.question(SITES[1], 3)
    if told[0].outcome != "done":
        raise _RefusedError


class _RefusedError(Exception):
    pass


# ------------------------------------------------------------------ the site's side


@cache
def _kit() -> Path:
    """The site's kit: what it signs with, and its log."""
    run, folder = _run()[0], Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "kit"
    shutil.copytree(run.folder / _SITE, folder / "state")
    (folder / "local").mkdir()
    (folder / "startup").mkdir()
    identity = run.identities[_SITE]
    (folder / "startup" / "client.crt").write_text(identity.certificate)
    written = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "startup" / "client.key").write_bytes(written)
    (folder / "startup" / "rootCA.pem").write_bytes(identity.root.public_bytes(Encoding.PEM))
    return folder


@st.composite
def _questions(draw: st.DrawFn) -> Shareable:
    request = Shareable()
    request["question"] = plain(draw(mutated_value((_run()[1].model_dump(mode="json"),))))
    return request


def _sign(request: Shareable, folder: Path) -> None:
    """Whatever the server shows, the site answers in plain words, and its own log can be read and says what it did."""
    kit = Path(shutil.copytree(_kit(), folder / "kit"))
    log, context, handlers = AuditLog(kit / "state"), FLContext(), dict[str, Any]()
    engine = SimpleNamespace(register_aux_message_handler=handlers.__setitem__)
    workspace = SimpleNamespace(get_site_config_dir=lambda: str(kit / "local"))
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)
    context.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    context.set_prop(ReservedKey.RUN_NUM, JOB, private=False, sticky=False)
    answer_countersigning(context)
    before = len(log.read())
    answer = handlers[COUNTERSIGN_TOPIC](COUNTERSIGN_TOPIC, request, context)["answer"]
    json.dumps(answer, allow_nan=False).encode()
    told = log.read()[before:]
    if answer["signature"] is None:
        raise _RefusedError
    if [event.outcome for _, event in told] != ["done"]:
        raise UnwantedError("a signature that the site's own log does not know")


TARGETS = (
    Target("countersignatures", "messages", st.deferred(_answers), _receive, (_RefusedError,)),
    Target("logs_to_be_signed", "messages", st.deferred(_questions), _sign, (_RefusedError,)),
)
