"""Lets readers in by a link that works once: what somebody at this machine's own screen uses."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from fedvoxel.review.access import Access
from fedvoxel.review.page_address import on_loopback

ENTER = "/enter"
"""Where a link leads."""

_ASK_FOR_LINK = (
    "This page needs the link that `fedvoxel review` printed. A link works once; after that the program prints the "
    "next one in its terminal. Copy the newest link from there."
)


class Links:
    """Is the way in of a review on loopback (see `gate.WayIn`)."""

    entrances = frozenset({ENTER})
    linkable = entrances
    farewell = "To come back, copy the newest link from the terminal of the program."
    back = ("/", "Open the worklist again")

    def __init__(self, access: Access, port: int) -> None:
        """Takes who may enter, and the port that the server is asked on."""
        self.access, self.address = access, on_loopback(port)

    def routes(self) -> APIRouter:
        """Returns where a link leads."""
        routes = APIRouter()
        routes.add_api_route(ENTER, self.enter, methods=["GET"])
        return routes

    def enter(self, token: str = "") -> Response:
        """Exchanges a link's token for a session."""
        session = self.access.enter(token)
        if session is None:
            return PlainTextResponse("This link was used, or is no link of this program. Copy the newest one.", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.address.cookie, session, httponly=True, samesite="strict", path="/")
        return answer

    def ask_in(self, path: str) -> Response:
        """Returns what who has no session is told."""
        return PlainTextResponse(_ASK_FOR_LINK, 401)


def open_links(port: int, readers: Sequence[str], on_link: Callable[[str, str], None]) -> Links:
    """Returns the way in by links.

    Args:
        port: The port that the server is asked on.
        readers: Who reads.
        on_link: Is told each reader's link, and the next one when it was used.
    """
    host = f"http://127.0.0.1:{port}"
    access = Access(lambda reader, token: on_link(reader, f"{host}{ENTER}?token={token}"))
    for reader in readers:
        on_link(reader, f"{host}{ENTER}?token={access.invite(reader)}")
    return Links(access, port)
