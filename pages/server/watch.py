"""An open page: a websocket through which only those still allowed in are heard and answered.

A page stays open for hours, and most of what happens in it (a fragment, a callback, the rows of a
table, a download) never passes the top of the frame. So each message is asked about here, and now
and then also when there is none.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships no types
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAIN_SCRIPT: Final = "frame.py"
CHECK_SECONDS: Final = 5.0  # a page nobody touches is closed so long after its reader was taken out
SEND_CHECK_SECONDS: Final = 1.0  # while a page is computed, what leaves is asked about so often
OVER: Final = 1008  # policy violation; the browser connects again, and meets the door
HEARD: Final = frozenset(
    {"rerun_script", "stop_script", "app_heartbeat", "backend_operation_request"}
)
SAID_FIRST_BYTES_MAX: Final = 64 * 1024  # of the message a page begins with; it has about 3,000
OPERATIONS: Final = frozenset({"deferred_file", "dataframe_chunk"})  # others write to the server
HEARD_OUTSIDE: Final = frozenset({"rerun_script", "app_heartbeat"})


class Watched:
    """One websocket; `still_in` asks whether its reader may stay, and is None for a stranger."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        still_in: Callable[[], bool] | None,
        clock: Callable[[], float],
    ) -> None:
        self._receive = receive
        self._send = send
        self._still_in = still_in
        self._clock = clock
        self._asked = clock()
        self._waiting: asyncio.Task[Message] | None = None
        self._is_over = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Serve the websocket until it ends."""
        try:
            await app(scope, self.receive, self.send)
        finally:
            if self._waiting is not None:
                self._waiting.cancel()
                with suppress(asyncio.CancelledError):
                    await self._waiting

    async def receive(self) -> Message:
        """Return the next message that may be heard, or the end."""
        while True:
            message = await self._next()
            if self._is_lost():
                return await self._end()
            if message is not None and self._may_be_heard(message):
                return message

    async def send(self, message: Message) -> None:
        """Send a message on, unless the reader is out by now."""
        if self._clock() - self._asked >= SEND_CHECK_SECONDS and self._is_lost():
            await self._end()
        if not self._is_over:
            await self._send(_without_path(message))

    async def _next(self) -> Message | None:
        """Return the next message, or None when it is time to ask again without one."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait({self._waiting}, timeout=CHECK_SECONDS)
        if not done:
            return None
        message, self._waiting = self._waiting.result(), None
        return message

    def _is_lost(self) -> bool:
        if self._is_over:
            return True
        self._asked = self._clock()
        return self._still_in is not None and not self._still_in()

    async def _end(self) -> Message:
        """Let the browser open the address anew, so that nothing stays on the screen, and close."""
        if not self._is_over:
            self._is_over = True
            await self._send({"type": "websocket.send", "bytes": _open_anew()})
            await self._send({"type": "websocket.close", "code": OVER, "reason": ""})
        return {"type": "websocket.disconnect", "code": OVER}

    def _may_be_heard(self, message: Message) -> bool:
        data = message.get("bytes")
        if message["type"] != "websocket.receive" or not data:
            return True
        said = BackMsg()
        try:
            said.ParseFromString(data)
        except DecodeError:
            return True  # Streamlit ends the connection over it
        kind = str(said.WhichOneof("type"))
        if self._still_in is None:
            return kind in HEARD_OUTSIDE and not said.rerun_script.fragment_id
        if kind == "backend_operation_request":
            return said.backend_operation_request.WhichOneof("payload") in OPERATIONS
        return kind in HEARD


def _without_path(message: Message) -> Message:
    """Return a message without the app's place on the server: Streamlit tells it to everybody."""
    data = message.get("bytes")
    if not data or len(data) > SAID_FIRST_BYTES_MAX or MAIN_SCRIPT.encode() not in data:
        return message
    said = ForwardMsg()
    said.ParseFromString(data)
    if not said.HasField("new_session"):
        return message
    said.new_session.main_script_path = MAIN_SCRIPT
    return {**message, "bytes": said.SerializeToString()}


def _open_anew() -> bytes:
    """Return the message with which Streamlit sends a browser to an address: the one it is at."""
    message = ForwardMsg()
    message.auth_redirect.url = ""
    return bytes(message.SerializeToString())
