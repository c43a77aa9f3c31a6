"""Crowds, as a program of its own: two hundred clients at once, and a store that costs nothing.

    crowd.py store            listens, prints its port; keeps nothing, makes up what it is asked for
    crowd.py clients          reads a `Plan` as one line of JSON; prints what has come about

Clients stop halfway and wait for a line on stdin, so that all are under way at one moment.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import sys
from dataclasses import asdict, dataclass

PIECE = bytes(range(256)) * 1024
SCRATCH = bytearray(1 << 20)
SOCKET_BUFFER_BYTES = 128 * 1024
"""Left to itself the kernel gives each of 600 sockets megabytes, until it has no more for any of
them and drops what arrives."""


@dataclass
class Plan:
    """What a crowd does."""

    port: int
    heads: list[str]
    """One for each client."""
    length: int = 0
    """Of the body, of the request or the answer, in bytes."""
    at_a_time: int = 20
    """How many go on at a time after all have stopped halfway."""

    def to_line(self) -> str:
        return json.dumps(asdict(self))


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(what: str) -> None:
    print(what, flush=True)


# === the store ===

class StoreConnection(asyncio.BufferedProtocol):
    """Answers every PUT with an ETag and every GET with as many bytes as its key says."""

    def __init__(self):
        self.head = b""
        self.body_left = 0
        self.answer_left = 0
        self.paused = False

    def connection_made(self, transport) -> None:
        self.transport = transport
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)

    def get_buffer(self, _) -> memoryview:
        return memoryview(SCRATCH)

    def buffer_updated(self, count: int) -> None:
        taken = min(count, self.body_left)
        self.body_left -= taken
        if taken and not self.body_left:
            self.answer("ETag: \"e\"\r\nContent-Length: 0\r\n")
        self.head += bytes(SCRATCH[taken:count])
        while b"\r\n\r\n" in self.head:
            head, _, self.head = self.head.partition(b"\r\n\r\n")
            self.asked(head.decode("latin-1"))

    def asked(self, head: str) -> None:
        method, target = head.split()[:2]
        length = re.search(r"(?im)^content-length: *(\d+)", head)
        self.body_left = int(length[1]) if length else 0
        if self.body_left:
            taken = min(self.body_left, len(self.head))
            self.body_left, self.head = self.body_left - taken, self.head[taken:]
            if self.body_left:
                return
        size = re.search(r"/made-up-(\d+)", target)
        if method == "GET" and size:
            self.answer_left = int(size[1])
            self.answer(f"ETag: \"e\"\r\nContent-Length: {size[1]}\r\n")
            self.make_up()
        elif method == "DELETE":
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            self.answer("ETag: \"e\"\r\nContent-Length: 0\r\n")

    def answer(self, fields: str) -> None:
        self.transport.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())

    def make_up(self) -> None:
        while self.answer_left and not self.paused:
            piece = memoryview(PIECE)[:self.answer_left]
            self.answer_left -= len(piece)
            self.transport.write(piece)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.make_up()

    def connection_lost(self, _) -> None:
        self.answer_left = 0


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(StoreConnection, "127.0.0.1", 0, backlog=1024)
    say(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


# === the clients ===

class Client:
    def __init__(self, plan: Plan, head: str):
        self.plan, self.head = plan, head.encode("latin-1")

    async def first_half(self) -> None:
        connection = socket.socket()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.plan.port))
        self.reader, self.writer = await asyncio.open_connection(sock=connection, limit=len(PIECE))
        self.writer.write(self.head)
        if self.head.startswith(b"PUT"):
            await self.send(self.plan.length // 2)
        elif self.head.startswith(b"GET") and self.plan.length:
            self.answer = await self.reader.readuntil(b"\r\n\r\n")
            await self.receive(self.plan.length // 2)
        await self.writer.drain()

    async def second_half(self) -> str:
        if self.head.startswith(b"PUT"):
            await self.send(self.plan.length - self.plan.length // 2)
            self.answer = await self.reader.readuntil(b"\r\n\r\n")
        elif self.plan.length:
            await self.receive(self.plan.length - self.plan.length // 2)
        self.writer.close()
        return self.answer.split(b" ")[1].decode() if self.plan.length else "held"

    async def send(self, count: int) -> None:
        while count:
            piece = PIECE[:count]
            self.writer.write(piece)
            await self.writer.drain()
            count -= len(piece)

    async def receive(self, count: int) -> None:
        while count:
            piece = await self.reader.read(min(count, len(PIECE)))
            if not piece:
                raise EOFError("the answer was cut short")
            count -= len(piece)


async def crowd() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    clients = [Client(plan, head) for head in plan.heads]
    turn = asyncio.Semaphore(plan.at_a_time)

    async def in_turn(work):
        async with turn:
            return await work

    await asyncio.gather(*(in_turn(client.first_half()) for client in clients))
    say(f"halfway: {len(clients)}")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    ended = await asyncio.gather(*(in_turn(client.second_half()) for client in clients))
    say("ended: " + json.dumps({status: ended.count(status) for status in sorted(set(ended))}))


if __name__ == "__main__":
    raise_file_limit()
    asyncio.run({"store": serve, "clients": crowd}[sys.argv[1]]())
