"""What somebody who does not belong tries at the server's port, each from a machine of their own.

    python -m tests.system.stranger CASE HOST [arguments]

Prints as one line of JSON what came of it.
"""

import json
import os
import socket
import ssl
import sys
import warnings
from pathlib import Path
from typing import Any

PORT = 8002


def shake_hands(host: str, certificate: str = "", key: str = "", version: str = "TLSv1_3") -> str:
    """Returns what a server says to a certificate, or to none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is the server that is to refuse
    context.maximum_version = getattr(ssl.TLSVersion, version)
    if certificate:
        context.load_cert_chain(certificate, key)
    try:
        with socket.create_connection((host, PORT), timeout=10) as line, context.wrap_socket(line) as secured:
            # In TLS 1.3 the server's verdict comes after the handshake.
            secured.sendall(b"GET /f3 HTTP/1.1\r\nHost: x\r\n\r\n")
            return "let in" if secured.recv(100) else "refused: closed"
    except OSError as error:
        return f"refused: {error}"


def speak_plainly(host: str, said: str) -> str:
    """Returns what a server answers in clear text."""
    with socket.create_connection((host, PORT), timeout=10) as line:
        line.sendall(said.encode())
        try:
            answer = line.recv(200)
        except OSError as error:
            return f"refused: {error}"
        return f"let in: {answer!r}" if answer.startswith(b"HTTP/1.1 1") else "refused: closed"


def register(host: str, kit: str, name: str, endpoint: str, kind: str) -> dict[str, Any]:
    """Registers as `name` with the certificate of `kit` over an endpoint, and returns what the server gave."""
    cell, startup = _cell(host, kit, endpoint), Path(kit) / "startup"
    from nvflare.apis.fl_constant import ReservedKey
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.signal import Signal
    from nvflare.private.fed.authenticator import Authenticator

    authenticator = Authenticator(
        cell=cell,
        project_name="fedvoxel",
        client_name=name,
        client_type=kind,
        expected_sp_identity=host,
        secure_mode=True,
        root_cert_file=str(startup / "rootCA.pem"),
        private_key_file=str(startup / "client.key"),
        cert_file=str(startup / "client.crt"),
        msg_timeout=5.0,
        retry_interval=1.0,
        timeout=10.0,
    )
    about = FLContext()
    about.set_public_props({ReservedKey.IDENTITY_NAME: name})
    try:
        token, signature, ssid, _ = authenticator.authenticate(about, Signal())
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"token": token, "signature": signature, "ssid": ssid} if token else {"refused": "no token"}


def quit_as(host: str, kit: str, endpoint: str, victim: str, token: str, signature: str) -> str:
    """Says goodbye in the name of another site, whose token was stolen, over the thief's own connection."""
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
    from nvflare.fuel.sec.authn import set_add_auth_headers_filters
    from nvflare.private.defs import CellChannel, CellChannelTopic, CellMessageHeaderKeys, new_cell_message

    cell = _cell(host, kit, endpoint)
    set_add_auth_headers_filters(cell, victim, token, signature)
    really_send = cell.core_cell.communicator.send

    def send_as_victim(endpoint: Any, app_id: int, message: Any) -> None:
        message.set_header(MessageHeaderKey.ORIGIN, victim)
        really_send(endpoint, app_id, message)

    cell.core_cell.communicator.send = send_as_victim
    farewell = Shareable()
    farewell.set_peer_context(FLContext())
    headers = {
        CellMessageHeaderKeys.TOKEN: token,
        CellMessageHeaderKeys.CLIENT_NAME: victim,
        CellMessageHeaderKeys.PROJECT_NAME: "fedvoxel",
    }
    code = ReturnCode.TARGET_UNREACHABLE
    while code == ReturnCode.TARGET_UNREACHABLE:  # until the cell has connected
        message = new_cell_message(headers, farewell)
        reply = cell.send_request(CellChannel.SERVER_MAIN, CellChannelTopic.Quit, "server", message, timeout=5.0)
        code = reply.get_header(MessageHeaderKey.RETURN_CODE)
    return str(code)


def command_as(host: str, kit: str, user: str, words: str, session_token: str = "") -> str:
    """Logs in with a person's kit and gives a command, with a session token of somebody else if there is one."""
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    session = new_secure_session(user, kit, timeout=15)
    try:
        if words == "token":
            return str(session.api.token)
        if session_token:
            session.api.token = session_token
        if words.startswith("submit "):
            return f"submitted: {session.submit_job(words.removeprefix('submit '))}"
        return json.dumps(session.api.do_command(words), default=str)
    except Exception as error:
        return f"refused: {type(error).__name__}: {error}"
    finally:
        session.close()


def upload_as(host: str, kit: str, user: str, session_token: str, folder: str, command: str) -> str:
    """Uploads a job's folder, signed with a person's kit, with a command and somebody else's session token.

    FLARE's console sends no command with an upload but its own; the server runs any.
    """
    from nvflare.fuel.hci.client import file_transfer

    really_join = file_transfer.join_args
    file_transfer.join_args = lambda parts: command or really_join(parts)
    return command_as(host, kit, user, f"submit_job {folder}", session_token)


def _cell(host: str, kit: str, endpoint: str) -> Any:
    from nvflare.fuel.f3.cellnet.cell import Cell
    from nvflare.fuel.f3.drivers.driver_params import DriverParams
    from nvflare.private.fed.utils.fed_utils import fobs_initialize

    fobs_initialize()
    startup = Path(kit) / "startup"
    credentials = {
        DriverParams.CA_CERT.value: str(startup / "rootCA.pem"),
        DriverParams.CLIENT_CERT.value: str(startup / "client.crt"),
        DriverParams.CLIENT_KEY.value: str(startup / "client.key"),
    }
    cell = Cell(
        fqcn=endpoint,
        root_url=f"http://{host}:{PORT}",
        secure=True,
        credentials=credentials,
        create_internal_listener=False,
        auth_identity_map={"server": host},
    )
    cell.start()
    return cell


CASES = {each.__name__: each for each in (shake_hands, speak_plainly, register, quit_as, command_as, upload_as)}


def main() -> None:
    """Tries one case and ends whatever FLARE has started."""
    warnings.simplefilter("ignore")
    case, *words = sys.argv[1:]
    sys.stdout.write("CAME OF IT " + json.dumps(CASES[case](*words)) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
