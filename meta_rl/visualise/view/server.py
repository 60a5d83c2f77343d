"""The server of the live view: a port, a visitor for each browser that looks, a loop that moves what they see.

The browser draws, so the server needs no OpenGL. Everyone has a task, stages and a time of their own.
"""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from meta_rl.errors import ConfigError, Say
from meta_rl.extras import require
from meta_rl.visualise.view.visitor import Visitor

HOST, PORT = "127.0.0.1", 8080
PICTURES_PER_SECOND = 20


def viser_server(port: int | None) -> Any:
    """A server on this machine that shows an empty scene.

    Args:
        port: 0 is any free one; None is `PORT` or the next one that is free.
    Raises:
        ConfigError: viser is missing, or the port that was asked for is taken.
    """
    viser = require("viser", "viser", "viewer", "view")
    # A browser may go while something is being sent to it.
    warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")
    if port:
        _check_free(port)
    with _quiet():  # it says where it is in a box of its own
        server = viser.ViserServer(HOST, PORT if port is None else port, label="meta-rl", verbose=False)
    if port and server.get_port() != port:  # taken meanwhile
        stop(server)
        raise _taken(port)
    return server


def stop(server: Any) -> None:
    """End it, without a word."""
    with _quiet():
        server.stop()


def serve(server: Any, visitor: Callable[[Any], Visitor], say: Say = print, port: int | None = 0) -> None:
    """Show the page until Ctrl-C, or a polite request to end (SIGTERM).

    Args:
        visitor: makes one of a browser that has connected.
        port: as it was asked for.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    visitors: dict[int, Visitor] = {}
    lock = threading.Lock()

    def come(client: Any) -> None:
        one = visitor(client)
        with lock:
            visitors[client.client_id] = one

    def leave(client: Any) -> None:
        with lock:
            gone = visitors.pop(client.client_id, None)
        if gone is not None:
            gone.leave()

    try:
        server.on_client_connect(come)
        server.on_client_disconnect(leave)
        moved = f"port {PORT} is taken; " if port is None and server.get_port() != PORT else ""
        say(f"view: {moved}http://{HOST}:{server.get_port()} (Ctrl-C ends it)")
        while True:
            with lock:
                looking = list(visitors.values())
            for one in looking:
                one.tick(time.monotonic())
            time.sleep(1 / PICTURES_PER_SECOND)
    except KeyboardInterrupt:
        for one in visitors.values():
            one.leave()
        stop(server)
        say("view: ended")


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended leaves no trace
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise _taken(port) from error


def _taken(port: int) -> ConfigError:
    return ConfigError(f"--port: {port} is taken; name another one, or 0 for any that is free")


@contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield
