"""A server on this machine that answers as none should."""

import socket
import ssl
import threading
from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


class Hostile:
    """A server that answers with bytes as they are written, and may drip them or never end."""

    def __init__(self) -> None:
        self.answer: Callable[[socket.socket], None] = lambda wire: None
        self.sent = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.url = f"http://{self.address}/rows.amat"
        self.over = threading.Event()
        self.wrapped: ssl.SSLContext | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                wire, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(wire,), daemon=True).start()

    def _one(self, wire: socket.socket) -> None:
        try:
            with self.wrapped.wrap_socket(wire, server_side=True) if self.wrapped else wire as secured:
                secured.recv(65536)
                self.answer(secured)
        except OSError:  # the client has hung up, as it should
            pass

    def says(self, content: bytes) -> None:
        """Answer with these bytes at once."""
        self.answer = lambda wire: wire.sendall(content)

    def drips(self, start: bytes, drop: bytes) -> None:
        """Answer with a start, and then with a drop every 20 ms for ever: never silent, and never done."""

        def answer(wire: socket.socket) -> None:
            wire.sendall(start)
            while not self.over.wait(0.02):
                wire.sendall(drop)

        self.answer = answer

    def floods(self, start: bytes) -> None:
        """Answer without an end, as fast as it is read."""

        def answer(wire: socket.socket) -> None:
            wire.sendall(start)
            while not self.over.is_set():
                wire.sendall(bytes(65536))
                self.sent += 65536

        self.answer = answer
