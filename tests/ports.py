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
        # As servers do; a port whose last connection has just been closed is free.
        knock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            knock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
