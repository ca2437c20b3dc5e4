"""HTTP answers: the viewer's files, and short texts. Nothing here depends on who asks."""

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from websockets.datastructures import Headers
from websockets.http11 import Response

VIEWER = Path(__file__).parents[1] / "viewer"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRONT_PAGE, _CAMERA_PAGE = "index.html", "camera.html"


@dataclass(frozen=True)
class Pages:
    """The files that are served: those that were there when the server began, by the path they answer to."""

    files: dict[str, Path]

    @classmethod
    def of(cls, folder: Path = VIEWER, *, camera: bool = False) -> "Pages":
        """The files of ``folder`` of a known kind; ``/camera`` only where there is something to send to."""
        names = {
            file.relative_to(folder).as_posix(): file
            for file in sorted(folder.rglob("*"))
            if file.suffix in CONTENT_TYPES and file.is_file()
        }
        paths = {f"{start}{name}": file for name, file in names.items() for start in ("/", "/viewer/")}
        for path, name in {"/": _FRONT_PAGE, "/viewer/": _FRONT_PAGE, "/camera": _CAMERA_PAGE}.items():
            if name in names and (camera or name != _CAMERA_PAGE):
                paths[path] = names[name]
        return cls(paths)

    def answer(self, path: str) -> Response:
        """The file at ``path``, or that there is none."""
        file = self.files.get(path)
        if file is None:
            return text(HTTPStatus.NOT_FOUND, "there is no such page")
        try:
            content = file.read_bytes()
        except OSError:
            return text(HTTPStatus.NOT_FOUND, "the page is gone")
        return response(HTTPStatus.OK, CONTENT_TYPES[file.suffix], content)


def text(status: HTTPStatus, line: str, *, headers: dict[str, str] | None = None) -> Response:
    """One line of plain text."""
    return response(status, "text/plain; charset=utf-8", f"{line}\n".encode(), headers=headers)


def ask_by_get() -> Response:
    """To other methods."""
    return text(HTTPStatus.METHOD_NOT_ALLOWED, "ask by GET", headers={"Allow": "GET, HEAD"})


def response(
    status: HTTPStatus, content_type: str, content: bytes, *, headers: dict[str, str] | None = None
) -> Response:
    """An answer with the headers that all have; ``headers`` are further ones."""
    own = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(content)),
            "Connection": "close",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
    )
    own.update(headers or {})
    return Response(status.value, status.phrase, own, content)
