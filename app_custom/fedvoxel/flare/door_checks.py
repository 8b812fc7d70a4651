"""What the server checks of whoever has come through TLS, where FLARE 2.9 does not.

FLARE lets every certificate of the consortium register as a site and log in as a person, and takes a token from any
connection (NVFlare #4858). Here a person's certificate registers no site, a site's logs nobody in, a message is taken
from the connection of the one whose name and token it bears only, and so is a command; with an upload, of which FLARE
does not say over which connection it came, nothing is taken but a job.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.cellnet.defs import IdentityChallengeKey, MessageHeaderKey, MessagePropKey
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import InternalCommands, MetaStatusValue, make_meta
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.reg import CommandFilter
from nvflare.fuel.utils.admin_name_utils import is_valid_admin_client_name
from nvflare.lighter.utils import load_crt_chain_bytes
from nvflare.private.defs import CellMessageHeaderKeys, ClientType

PERSON_ROLES = frozenset({"project_admin", "org_admin", "lead", "member"})
"""What a person's certificate says; a site's says nothing or what kind of kit it is for."""

SUBMIT = "submit_job"
"""Is FLARE's command that comes with an upload, the only one."""

MOST_PEOPLE = 10_000
"""So many connections of people are remembered; whose is forgotten has to log in anew."""

OnRefused = Callable[[str, str, str], None]
"""Takes what was asked for, by whom, and why it was refused; see `DoorRecord.refused`."""


_UNREADABLE = (AttributeError, IndexError, TypeError, ValueError, x509.InvalidVersion)
"""What reading a certificate may end with that somebody shows at the door."""


def role_of(certificate: x509.Certificate) -> str:
    """Returns the role in a certificate, or an empty string.

    Raises:
        ValueError: Its subject cannot be read.
    """
    roles = certificate.subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME)
    return str(roles[0].value) if roles else ""


def foreign_sender(message: Message) -> str | None:
    """Returns why a message did not come from the one in whose name it is sent, or None where it did.

    What comes over a connection without a certificate is from a process of this machine: it is not looked at.
    """
    proven = message.get_prop(MessagePropKey.COMMON_NAME)
    if not proven or proven == "N/A":
        return None
    origin = str(message.get_header(MessageHeaderKey.ORIGIN))
    path = FQCN.split(FQCN.normalize(origin))
    named = message.get_header(CellMessageHeaderKeys.CLIENT_NAME)
    if is_valid_admin_client_name(path[0]):
        endpoint = message.get_prop(MessagePropKey.ENDPOINT)
        if endpoint is not None and origin != endpoint.name:
            return "a message in the name of another person's connection"
        return None if named in (None, proven) else f"a message with the name of {named}"
    if path[0] != proven:
        return f"a message in the name of {path[0]}"
    return None if named is None or named in path else f"a message with the name of {named}"


class Senders:
    """Drops messages of false senders, and knows whose certificate a person's connection was made with."""

    def __init__(self, on_refused: OnRefused) -> None:
        self._on_refused = on_refused
        self._people: OrderedDict[str, str] = OrderedDict()

    def dropped(self, message: Message) -> bool:
        """Is a filter of incoming messages: FLARE drops one of which this says True."""
        proven, why = message.get_prop(MessagePropKey.COMMON_NAME), foreign_sender(message)
        if why is not None:
            self._on_refused("message", str(proven), why)
            return True
        origin = str(message.get_header(MessageHeaderKey.ORIGIN))
        if proven and is_valid_admin_client_name(origin):
            self._people[origin] = str(proven)
            self._people.move_to_end(origin)
            if len(self._people) > MOST_PEOPLE:
                self._people.popitem(last=False)
        return False

    def person_at(self, origin: str) -> str:
        """Returns the name that the certificate of a person's connection proves; empty where there is none."""
        return self._people.get(origin, "")


def once_configured(is_ready: Callable[[FLContext], str | None]) -> Callable[[FLContext], str | None]:
    """Returns FLARE's check whether it may register anybody, which then says no until the server is configured.

    FLARE opens its port before that. Whoever came in between was told that the server cannot prove itself, and ended;
    told that it is not ready, it comes again.
    """

    @wraps(is_ready)
    def checked(fl_ctx: FLContext) -> str | None:
        return is_ready(fl_ctx) if fl_ctx.get_prop(FLContextKey.SERVER_CONFIG) else "the server is still starting"

    return checked


_SITE_ROLES = ("", "client")
"""What a site's certificate may say of its role; any other, known or not, is none of a site."""

_NOT_PROVED = "its certificate and signature do not prove it"


def guarded_registration(register: Callable[..., Any], server: str, on_refused: OnRefused) -> Callable[..., Any]:
    """Returns `ClientManager.authenticated_client` that refuses people and servers as sites, and tells of refusals."""

    @wraps(register)
    def guarded(request: Message, fl_ctx: Any, client_type: str) -> Any:
        claimed = str(request.get_header(CellMessageHeaderKeys.CLIENT_NAME))
        shown = request.payload.get(IdentityChallengeKey.CERT) if isinstance(request.payload, dict) else None
        why = _no_site(shown, client_type, server)
        client = None if why else register(request, fl_ctx, client_type)
        if client is None:
            proven = str(request.get_prop(MessagePropKey.COMMON_NAME) or "unknown")
            why = why or str(fl_ctx.get_prop(FLContextKey.UNAUTHENTICATED) or _NOT_PROVED)
            on_refused("register", proven, f"as {claimed}: {why}")
        return client

    return guarded


def _no_site(shown: Any, client_type: str, server: str) -> str | None:
    """Returns why a certificate is not that of what registers; FLARE itself checks that it is the consortium's."""
    try:
        certificate = load_crt_chain_bytes(shown)[0]
        role, names = role_of(certificate), certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except _UNREADABLE:
        return "no certificate that can be read"
    if client_type == ClientType.ADMIN:
        return None if role in PERSON_ROLES else "no person's certificate"
    if role not in _SITE_ROLES:
        return f"a person's certificate ({role}) is none of a site"
    return "the server's certificate is none of a site" if server in {str(name.value) for name in names} else None


class PersonCheck(CommandFilter):
    """Lets a person log in, and give commands, over the connection of their own certificate only."""

    def __init__(self, senders: Senders, on_refused: OnRefused) -> None:
        super().__init__()
        self._senders, self._on_refused = senders, on_refused

    def pre_command(self, conn: Connection, args: list[str]) -> bool:
        """Returns whether the command goes on to FLARE."""
        request = conn.get_prop(ConnProps.REQUEST)
        proven = self._senders.person_at(str(request.get_header(MessageHeaderKey.ORIGIN))) if request else ""
        if args[0] == InternalCommands.CERT_LOGIN:
            return self._may_log_in(conn, args, proven)
        user = conn.get_prop(ConnProps.USER_NAME)
        # What comes with an upload comes without its connection. Whose job it is, the `SubmissionCheck` tells by its
        # signature; nothing would tell whose any other command is.
        if args[0].rpartition(".")[2] == SUBMIT if request is None else user in (None, proven):
            return True
        how = "with an upload, in" if request is None else "with"
        self._refuse(conn, "command", proven, f"{args[0]} {how} the session of {user or 'nobody'}")
        return False

    def _may_log_in(self, conn: Connection, args: list[str], proven: str) -> bool:
        user = args[1] if len(args) > 1 else ""
        try:
            role = role_of(load_crt_chain_bytes((conn.get_prop(ConnProps.CMD_HEADERS) or {}).get("cert"))[0])
        except _UNREADABLE:
            self._refuse(conn, "log_in", proven, "no certificate that can be read")
            return False
        if role not in PERSON_ROLES:
            self._refuse(conn, "log_in", proven, f"as {user}: its certificate is no person's")
        elif user != proven:
            self._refuse(conn, "log_in", proven, f"as {user}: the connection's certificate does not prove it")
        else:
            return True
        return False

    def _refuse(self, conn: Connection, task: str, who: str, why: str) -> None:
        self._on_refused(task, who or "unknown", why)
        conn.append_string("REJECT")
        conn.append_error("refused", meta=make_meta(MetaStatusValue.NOT_AUTHORIZED, "refused"))
