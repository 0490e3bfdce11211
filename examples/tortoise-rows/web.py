"""The smallest web handler: PUT /users/EMAIL with a name, POST /users/EMAIL/welcome."""

from __future__ import annotations

import asyncio
import sys

from shop import DATABASE, User, send_welcome
from tortoise import Tortoise


async def put(email: str, name: str) -> str:
    await User.update_or_create({"name": name}, email=email)
    return "saved"


async def welcome(email: str) -> str:
    return await send_welcome(await User.get(email=email)).dispatch()


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, *_ = head.split()
    length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
    body = (await reader.readexactly(length)).decode()
    email = path.split("/")[2]
    said = await (put(email, body) if method == "PUT" else welcome(email))
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n{said}".encode())
    await writer.drain()
    writer.close()


async def main() -> None:
    await Tortoise.init(**DATABASE)
    await Tortoise.generate_schemas()
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]))
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
