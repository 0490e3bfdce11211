"""The smallest web handler: PUT /users/EMAIL with a name, POST /users/EMAIL/welcome."""

from __future__ import annotations

import asyncio
import sys

from shop import Base, User, engine, send_welcome, sessions
from sqlalchemy import select


async def put(email: str, name: str) -> str:
    async with sessions() as session:
        user = await session.scalar(select(User).where(User.email == email)) or User(email=email)
        user.name = name
        session.add(user)
        await session.commit()
    return "saved"


async def welcome(email: str) -> str:
    async with sessions() as session:
        user = (await session.scalars(select(User).where(User.email == email))).one()
    return await send_welcome(user).dispatch()


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
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]))
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
