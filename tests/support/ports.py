"""Ports in a row: `leadline up` takes its console's and the next five."""

import random
import socket
from contextlib import ExitStack, suppress

from leadline.testing.servers.process import PORTS


def free_row(count):
    """The first of `count` ports in a row that nobody listens on at this moment."""
    while True:
        first = random.SystemRandom().randrange(PORTS.start, PORTS.stop - count)
        with suppress(OSError), ExitStack() as sockets:
            for port in range(first, first + count):
                sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
