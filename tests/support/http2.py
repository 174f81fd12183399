"""A real HTTP/2 server on loopback, over TLS, whose answers share one connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import hyperframe.frame
import trustme

from tests.support.replay import Received, Reply


class HTTP2Server:
    """Answers each request by `reply(request)`, in a thread; stop endpoints by success.

    `Reply.ending` may be "end", "open" (the stream stays open, silent), "reset" (RST_STREAM of
    this stream), "goaway" (GOAWAY, as from a server that goes down at once) or "retire" (GOAWAY,
    and the answer goes on in the same packet, as from a proxy that takes no new requests).
    """

    def __init__(self, reply: Callable[[Received], Reply]) -> None:
        authority = trustme.CA()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.set_alpn_protocols(["h2"])
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)
        self.trust = ssl.create_default_context()
        """What a client gives as `verify`."""
        authority.configure_trust(self.trust)
        self.reply = reply
        self.requests: list[Received] = []
        self.arrived = threading.Condition()
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def stopped(self) -> list[str]:
        """Task ids of the stop requests so far."""
        return [r.path.split("/")[-2] for r in self.requests if r.path.endswith("/stop")]

    def wait_for_stop(self, timeout: float = 5.0) -> str:
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.stopped, timeout), "no stop request came"
        return self.stopped[0]

    def answer(self, request: Received) -> Reply:
        """The reply to a request, which is taken note of."""
        if request.path.endswith("/stop"):
            json = {"content-type": "application/json"}
            reply = Reply(headers=json, pieces=[b'{"result": "success"}'])
        else:
            reply = self.reply(request)
        with self.arrived:
            self.requests.append(request)
            self.arrived.notify_all()
        return reply

    def __enter__(self) -> HTTP2Server:
        self._thread.start()
        listening = asyncio.start_server(self._serve, sock=self._listener, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await _Connection(reader, writer, self.answer).serve()
            writer.close()


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Received], Reply],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._replies: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        self._state.initiate_connection()
        self._flush()
        while received := await self._reader.read(65536):
            for event in self._state.receive_data(received):
                if isinstance(event, h2.events.ConnectionTerminated):  # the client gives up
                    return
                self._take(event)
            self._flush()

    def _flush(self) -> None:
        self._writer.write(self._state.data_to_send())

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            fields = event.headers
            self._heads[event.stream_id] = {key.decode(): value.decode() for key, value in fields}
            self._bodies[event.stream_id] = b""
        elif isinstance(event, h2.events.DataReceived):
            self._bodies[event.stream_id] += event.data
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            task = asyncio.ensure_future(self._reply(event.stream_id))
            self._replies.add(task)
            task.add_done_callback(self._replies.discard)

    async def _reply(self, stream: int) -> None:
        headers = self._heads[stream]
        request = Received(headers[":method"], headers[":path"], headers, self._bodies[stream])
        reply = await asyncio.to_thread(self._answer, request)
        state = self._state
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the client, or GOAWAY, ended it
            state.send_headers(stream, [(":status", str(reply.status)), *reply.headers.items()])
            self._flush()
            for piece in reply.pieces:
                if callable(piece):
                    await asyncio.to_thread(piece)
                else:
                    state.send_data(stream, piece)
                    self._flush()
            if reply.ending == "end":
                state.end_stream(stream)
            elif reply.ending == "reset":
                state.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            elif reply.ending == "goaway":
                state.close_connection()
            elif reply.ending == "retire":
                last = hyperframe.frame.GoAwayFrame(0, last_stream_id=stream).serialize()
                state.send_data(stream, b": goes on\n\n")
                self._writer.write(last + state.data_to_send())
            self._flush()
