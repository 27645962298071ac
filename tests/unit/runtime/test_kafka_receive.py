"""What a connection of the Kafka client has received is read as a whole."""

import os
import socket

import pytest

from leadline.runtime.log.kafka_client import _receive
from leadline.runtime.memory import keep_freed_memory


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("size", [1, 99, 100, 101, 200, 250])
def test_all_that_is_there_is_received(pair, size):
    ours, theirs = pair
    sent = os.urandom(size)
    theirs.sendall(sent)
    received, ended = _receive(ours, bytearray(100))
    assert bytes(received) == sent
    assert ended is None


def test_nothing_there_is_no_end(pair):
    ours, _ = pair
    received, ended = _receive(ours, bytearray(100))
    assert (bytes(received), ended) == (b"", None)


@pytest.mark.parametrize("size", [0, 30, 100, 130])
def test_the_end_is_told_after_the_last_bytes(pair, size):
    ours, theirs = pair
    theirs.sendall(bytes(size))
    theirs.close()
    received, ended = _receive(ours, bytearray(100))
    assert bytes(received) == bytes(size)
    assert "disconnected" in str(ended)


def test_a_closed_socket_is_an_end(pair):
    ours, _ = pair
    ours.close()
    received, ended = _receive(ours, bytearray(100))
    assert bytes(received) == b""
    assert ended is not None


def test_freed_memory_is_kept_or_the_library_cannot():
    assert keep_freed_memory() in (True, False)
    assert keep_freed_memory() == keep_freed_memory()
