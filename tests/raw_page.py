"""A page without a browser: a websocket that says what it likes, as a hostile client would."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_S = 30
QUIET_S = 1.5  # nothing for so long after the end of a run: nothing comes


@dataclass
class Heard:
    """What a server sent."""

    messages: list[ForwardMsg] = field(default_factory=list)
    is_closed: bool = False

    @property
    def text(self) -> str:
        """Everything sent, as text."""
        return "\n".join(str(one) for one in self.messages)

    @property
    def kinds(self) -> set[str]:
        """The kinds of elements drawn."""
        deltas = [one.delta for one in self.messages if one.WhichOneof("type") == "delta"]
        return {
            str(delta.new_element.WhichOneof("type"))
            for delta in deltas
            if delta.WhichOneof("type") == "new_element"
        }


class RawPage:
    """One websocket to the app."""

    def __init__(
        self,
        app: str,
        *,
        cookies: Mapping[str, str] | None = None,
        origin: str | None = None,
        session: str = "",
        xsrf: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        jar = dict(cookies or {})
        token = xsrf or jar.get("_streamlit_xsrf", "none")
        given = dict(headers or {})
        if jar:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        self.socket: ClientConnection = connect(
            f"ws{app.removeprefix('http')}/_stcore/stream",
            origin=app if origin is None else origin,  # type: ignore[arg-type]
            additional_headers=given,
            subprotocols=["streamlit", token, *([session] if session else [])],  # type: ignore[list-item]
            max_size=None,
            open_timeout=WAIT_S,
            legacy=True,  # opened here, closed by `close`
        )
        self.heard = Heard()

    def say(self, message: BackMsg) -> None:
        """Send one message."""
        self.socket.send(message.SerializeToString())

    def rerun(
        self, page: str = "", *, query: str = "", page_hash: str = "", fragment: str = ""
    ) -> None:
        """Ask for a run of a page, as the browser does."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        message.rerun_script.page_script_hash = page_hash
        message.rerun_script.fragment_id = fragment
        self.say(message)

    def listen(self, *, runs: int = 1, seconds: float = WAIT_S) -> Heard:
        """Listen until so many runs are over, the socket is closed, or the time is up."""
        until, over = time.monotonic() + seconds, 0
        while (left := until - time.monotonic()) > 0 and over < runs:
            try:
                data = self.socket.recv(timeout=left)
            except TimeoutError:
                break
            except ConnectionClosed:
                self.heard.is_closed = True
                break
            message = ForwardMsg()
            message.ParseFromString(data if isinstance(data, bytes) else data.encode())
            self.heard.messages.append(message)
            over += message.WhichOneof("type") == "script_finished"
        return self.heard

    def close(self) -> None:
        """Leave."""
        self.socket.close()


def visit(app: str, page: str = "", **options: object) -> Heard:
    """Open a page, hear what it shows, and leave."""
    asked = {name: options.pop(name) for name in ("query", "page_hash") if name in options}
    raw = RawPage(app, **options)  # type: ignore[arg-type]
    raw.rerun(page, **asked)  # type: ignore[arg-type]
    heard = raw.listen()
    raw.close()
    return heard


def refused(app: str, **options: object) -> int:
    """Return the status with which a websocket is refused; 101 when it is not."""
    try:
        RawPage(app, **options).close()  # type: ignore[arg-type]
    except InvalidStatus as error:
        return error.response.status_code
    return 101
