"""The verbs that are a transaction of their own on one connection, as the client must hear something before it goes on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asynctasq.adapters.drivers.mysql.faults import falls_short
from asynctasq.adapters.drivers.mysql.packets import BEGIN, COMMIT, ROLLBACK, Packets
from asynctasq.adapters.drivers.mysql.statements import listed, name_of
from asynctasq.adapters.drivers.mysql.values import Key, claim_of, text
from asynctasq.adapters.drivers.mysql.wire import ClientError, Wire
from asynctasq.domain.message import Claim


async def store(wire: Wire, inserts: Sequence[str]) -> int:
    """Store messages; how many are new.

    Args:
        wire: where.
        inserts: one packet, or several of a batch that is too long for one.
    """
    if len(inserts) == 1:
        return (await wire.exchange(inserts[0]))[-1].changed
    changed = 0
    for n, insert in enumerate(inserts):
        opened = insert if n else f"{BEGIN}; {insert}"
        changed += (await wire.exchange(opened, applies=False))[-1].changed
    await wire.exchange(COMMIT)
    return changed


async def take(
    wire: Wire,
    packets: Packets,
    queues: Sequence[str],
    *,
    limit: int,
    lease: float,
    receipt: int,
    deadline: float,
    worker: str,
    first: int,
) -> list[Claim]:
    """Lock what is due from a time on, the most urgent queue's first, and lease it."""
    claims: list[Claim] = []
    for n, queue in enumerate(queues):
        looking = packets.take(queue, limit - len(claims), begins=n == 0, first=first)
        rows = (await wire.exchange(looking, applies=False))[-1].rows
        claims += [claim_of(queue, row, receipt, deadline) for row in rows]
        if len(claims) >= limit:
            break
    if claims:
        seqs = [claim.receipt.partition("-")[0] for claim in claims]
        await wire.exchange(packets.lease(seqs, lease=lease, receipt=receipt, worker=worker))
    else:  # others are faster
        await wire.exchange(ROLLBACK, applies=False)
    return claims


async def ack(wire: Wire, packets: Packets, keys: Collection[Key]) -> bool:
    """Ack all of these or none; whether all of their receipts were valid."""
    try:
        await wire.exchange(packets.acks(keys))
    except ClientError as error:
        if not falls_short(error):
            raise
        await wire.exchange(ROLLBACK, applies=False)
        return False
    return True


async def with_dead(wire: Wire, packets: Packets, name: str, ids: Sequence[str]) -> set[str]:
    """Carry out the statement of this name on the dead letters of these ids; those of which there was one."""
    locked = f"{BEGIN}; {packets.of('lock_dead', ids=listed(map(name_of, ids)))}"
    rows = (await wire.exchange(locked, applies=False))[1].rows
    position = {id: n for n, id in enumerate(ids)}
    found = sorted(((position[text(id)], seq) for seq, id in rows))
    if found:
        seqs = listed(seq for _, seq in found)
        await wire.exchange(f"{packets.of(name, seqs=seqs, count=len(found))}; {COMMIT}")
    else:
        await wire.exchange(ROLLBACK, applies=False)
    return {ids[n] for n, _ in found}
