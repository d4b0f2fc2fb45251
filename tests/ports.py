"""Ports for the servers that tests start in processes of their own."""

import os
import socket

FIRST, LAST = 20_000, 32_000  # A system hands out higher ones, to whoever asks for any.


def free_ports(count=1):
    """The first of `count` ports in a row that nobody listens on.

    Whoever asks the system for any port cannot be given these before the server has them.
    """
    start = FIRST + os.getpid() * 17 % (LAST - FIRST)  # Tests that run at once look elsewhere.
    for port in (*range(start, LAST), *range(FIRST, start)):
        if all(_is_free(port + more) for more in range(count)):
            return port
    raise RuntimeError(f"there are no free ports from {FIRST} to {LAST}")


def _is_free(port):
    with socket.socket() as knock:
        try:  # Where a connection has only just been closed this fails too: some servers would.
            knock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
