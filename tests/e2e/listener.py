"""A server of bare sockets, for stores that say what no HTTP library would."""

from __future__ import annotations

import socket
import threading
from typing import Callable


def accept_each(serve: Callable[[socket.socket], None]) -> socket.socket:
    """Serves each connection in a thread of its own, until the listener that it returns is closed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener
