"""A TCP proxy that can cut, slow down or swallow what passes through it.

    PASS   everything passes
    DELAY  every piece waits `delay_seconds` before it goes on, either way, order kept
    HOLE   nothing passes, connections stay open; what was swallowed goes on later, as packets do
           that are sent again
    DEAF   requests pass, answers do not; when the mode ends, the connection is cut: a commit whose
           answer is lost
    CUT    open connections are reset, new ones are reset as they come

Bytes of a connection are never lost in between, reordered or doubled: TCP promises that too.
"""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import Enum

CHUNK = 65536
DELAY_SECONDS = 0.15


class Mode(Enum):
    """What happens to connections; the module says what each means."""

    PASS = "pass"
    DELAY = "delay"
    HOLE = "hole"
    DEAF = "deaf"
    CUT = "cut"


class Proxy:
    """Passes connections to `port` of the loopback interface on to another port of it.

    All methods but the constructor's may be called from any thread.

    Args:
        loop: the running loop of a `ProxyThread`.
        port: where it listens.
        target: where it passes connections on to.
        delay_seconds: of DELAY.
    """

    def __init__(self, loop, port, target, delay_seconds=DELAY_SECONDS):
        self.port, self.target = port, target
        self.passed = 0  # connections that were taken
        self.cut = 0  # connections that were reset
        self._loop, self._delay = loop, delay_seconds
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self._pairs = {}  # task of a connection -> its two writers
        self._server = None

    @property
    def mode(self):
        """The mode in force."""
        return self._mode

    def set(self, mode):
        """Changes the mode; returns once it is in force."""
        self._run(self._set(mode))

    def open(self):
        """Begins to listen."""
        self._run(self._open())

    def close(self):
        """Resets all connections and listens no more."""
        self._run(self._close())

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _open(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self):
        self._server.close()
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _set(self, mode):
        former, self._mode = self._mode, mode
        self._changed.set()  # whoever waits looks again
        self._changed = asyncio.Event()
        if mode is Mode.CUT or (former is Mode.DEAF and mode is not Mode.DEAF):
            for writers in self._pairs.values():
                self._reset(writers)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self.passed += 1
        self._pairs[task] = [writer]
        try:
            if self._mode is Mode.CUT:
                return
            await self._let(Mode.HOLE)
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._pairs[task].append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back, {Mode.HOLE}))
                group.create_task(self._pump(there, writer, {Mode.HOLE, Mode.DEAF}))
        except* OSError:
            pass  # one end is gone: so is the other
        finally:
            self._reset(self._pairs.pop(task))

    async def _pump(self, reader, writer, stopping):
        while piece := await reader.read(CHUNK):
            if self._mode is Mode.DELAY:
                await asyncio.sleep(self._delay)
            await self._let(*stopping)
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError  # ends the other direction too

    async def _let(self, *stopping):
        """Returns once the mode is none of these."""
        while self._mode in stopping:
            await self._changed.wait()

    def _reset(self, writers):
        """Ends connections as a crash does: by a reset, without waiting."""
        self.cut += 1
        for writer in writers:
            with suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
            writer.transport.abort()


class ProxyThread:
    """A loop for proxies, in a thread of its own."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._proxies = []

    def proxy(self, port, target, delay_seconds=DELAY_SECONDS):
        """A proxy that listens."""
        made = Proxy(self._loop, port, target, delay_seconds)
        made.open()
        self._proxies.append(made)
        return made

    def close(self):
        """Ends all of them."""
        for proxy in self._proxies:
            proxy.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
