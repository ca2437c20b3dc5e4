"""What a request is answered, before anybody becomes a client."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tracker.web.access import Access, Credentials
from tracker.web.metrics import CONTENT_TYPE
from tracker.web.pages import Pages, ask_by_get, response, text

JSON, MESSAGE_PACK = Subprotocol("hand-track.v1.json"), Subprotocol("hand-track.v1.msgpack")
SUBPROTOCOLS = (JSON, MESSAGE_PACK)
HANDS_PATH, CAMERA_PATH = "/", "/camera"
NO_PLACE = "too many clients: there are as many as there may be; try again when one has gone"


@dataclass(frozen=True)
class Routes:
    """Answers requests."""

    access: Access
    pages: Pages
    camera: bool
    """Whether somebody's browser can be the camera."""
    state: Callable[[], str]
    """The source's."""
    metrics: Callable[[], str]
    has_place: Callable[[], bool]
    """Whether one more client may come."""

    def answer(self, request: Request) -> tuple[Response | None, Credentials]:
        """The answer, None where a WebSocket may begin; and what the request's credentials are worth."""
        headers = request.headers
        credentials = self.access.bearer(headers.get_all("Authorization"))
        refusal = self.access.refusal(headers.get_all("Host"), headers.get_all("Origin"))
        path = path_of(request)
        if refusal is not None:
            return text(HTTPStatus.FORBIDDEN, refusal), credentials
        method = getattr(request, "method", "GET")  # versions before 17 refuse others themselves
        if method == "HEAD":
            return replace(self._page(path, credentials), body=b""), credentials
        if method != "GET":
            return ask_by_get(), credentials
        if any("websocket" in value.lower() for value in headers.get_all("Upgrade")):
            return self._upgrade(path, credentials, headers), credentials
        return self._page(path, credentials), credentials

    def _page(self, path: str, credentials: Credentials) -> Response:
        if path == "/healthz":
            state = self.state()
            if state == "playing":
                return text(HTTPStatus.OK, "ok")
            return text(HTTPStatus.SERVICE_UNAVAILABLE, state)
        if path == "/metrics":
            if credentials != "granted":
                return _unauthorized()
            return response(HTTPStatus.OK, CONTENT_TYPE, self.metrics().encode())
        return self.pages.answer(path)

    def _upgrade(self, path: str, credentials: Credentials, headers: Headers) -> Response | None:
        if path != HANDS_PATH and not (path == CAMERA_PATH and self.camera):
            return text(HTTPStatus.NOT_FOUND, f"there is no WebSocket at {path[:100]!r}")
        if credentials == "wrong":
            return _unauthorized()
        # A page cannot see what a handshake is answered: it is let in to be told, and let go.
        if not self.has_place() and "Origin" not in headers:
            return text(HTTPStatus.SERVICE_UNAVAILABLE, NO_PLACE, headers={"Retry-After": "5"})
        subprotocols = headers.get_all("Sec-WebSocket-Protocol")
        asked = [name.strip() for value in subprotocols for name in value.split(",")]
        if asked and not any(name in SUBPROTOCOLS for name in asked):
            known = ", ".join(SUBPROTOCOLS)
            return text(HTTPStatus.BAD_REQUEST, f"the subprotocol is unknown; ask for one of {known}")
        return None


def path_of(request: Request | None) -> str:
    """What is asked for, without a query."""
    return "" if request is None else request.path.partition("?")[0]


def select_subprotocol(connection: ServerConnection, asked: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first that the client asked for and we know; None, which is JSON, where it asked for none."""
    return next((name for name in asked if name in SUBPROTOCOLS), None)


def _unauthorized() -> Response:
    return text(
        HTTPStatus.UNAUTHORIZED,
        "give the token: Authorization: Bearer TOKEN",
        headers={"WWW-Authenticate": "Bearer"},
    )
