"""The proxy of the soak: each mode does what it says, and no byte is lost where TCP keeps them."""

import socket
import threading
from time import monotonic

import pytest
from soak.proxy import Mode, ProxyThread

from leadline.testing.servers.process import free_ports, until

SOON = 5.0
NOT_NOW = 0.3  # long enough for bytes on loopback, if they came


class Echo:
    """Sends back what it gets, and remembers it."""

    def __init__(self, port):
        self.seen = b""
        self.server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection):
        try:
            with connection:
                while piece := connection.recv(1000):
                    self.seen += piece
                    connection.sendall(piece)
        except OSError:
            return


@pytest.fixture
def echo():
    port, behind = free_ports(2)
    server, thread = Echo(behind), ProxyThread()
    server.proxy = thread.proxy(port, behind, delay_seconds=NOT_NOW)
    yield server
    thread.close()
    server.server.close()


@pytest.fixture
def client(echo):
    with connected(echo) as connection:
        yield connection


def connected(echo):
    connection = socket.create_connection(("127.0.0.1", echo.proxy.port), timeout=SOON)
    connection.settimeout(SOON)
    return connection


def received(connection, count):
    found = b""
    while len(found) < count:
        piece = connection.recv(count - len(found))
        assert piece, "the connection ended"
        found += piece
    return found


def silent(connection):
    connection.settimeout(NOT_NOW)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(SOON)
    return False


def test_everything_passes(echo, client):
    sent = bytes(range(256)) * 4000  # more than the sockets' buffers take at once
    sender = threading.Thread(target=client.sendall, args=(sent,))
    sender.start()
    assert received(client, len(sent)) == sent
    sender.join()
    assert echo.seen == sent


def test_a_delay_keeps_order(echo, client):
    echo.proxy.set(Mode.DELAY)
    began = monotonic()
    client.sendall(b"one")
    client.sendall(b"two")
    assert received(client, 6) == b"onetwo"
    assert monotonic() - began >= 2 * NOT_NOW  # there and back


def test_a_hole_swallows_and_gives_back(echo, client):
    client.sendall(b"a")
    assert received(client, 1) == b"a"
    echo.proxy.set(Mode.HOLE)
    client.sendall(b"b")
    assert silent(client)
    assert echo.seen == b"a"
    echo.proxy.set(Mode.PASS)
    assert received(client, 1) == b"b"


def test_a_hole_takes_new_connections_and_answers_none(echo):
    echo.proxy.set(Mode.HOLE)
    with connected(echo) as late:
        late.sendall(b"x")
        assert silent(late)
        echo.proxy.set(Mode.PASS)
        assert received(late, 1) == b"x"


def test_deaf_loses_the_answer_alone(echo, client):
    echo.proxy.set(Mode.DEAF)
    client.sendall(b"commit")
    assert silent(client)
    until(lambda: echo.seen == b"commit", SOON, "the request passed")
    echo.proxy.set(Mode.PASS)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_cut_resets_what_is_open_and_what_comes(echo, client):
    client.sendall(b"a")
    assert received(client, 1) == b"a"
    echo.proxy.set(Mode.CUT)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionError), connected(echo) as late:
        late.sendall(b"b")
        if not late.recv(1):
            raise ConnectionAbortedError
    assert echo.seen == b"a"
    echo.proxy.set(Mode.PASS)
    with connected(echo) as after:
        after.sendall(b"c")
        assert received(after, 1) == b"c"


def test_a_target_that_is_away_ends_the_connection():
    port, nobody = free_ports(2)
    thread = ProxyThread()
    thread.proxy(port, nobody)
    with (
        pytest.raises(ConnectionError),  # by the call itself where the reset comes so soon
        socket.create_connection(("127.0.0.1", port), timeout=SOON) as late,
    ):
        late.recv(1)
    thread.close()
