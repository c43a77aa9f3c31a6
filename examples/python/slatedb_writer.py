"""Writes into a SlateDB: the process that opened it last writes, and those before it are fenced.

    python slatedb_writer.py PATH KEY=VALUE...       exit status 3: another process has opened it since

SlateDB takes the writer's place, and writes each file of its log, with "If-None-Match: *". If the answer to such a
write is lost, it looks whether the file is its own.
"""

import asyncio
import os
import sys

from slatedb.uniffi import CloseReason, DbBuilder, Error, ObjectStore


async def write(path, pairs):
    store = ObjectStore.resolve(f"s3://{os.environ['BUCKET']}")
    db = await DbBuilder(path, store).build()
    for pair in pairs:
        key, _, value = pair.encode().partition(b"=")
        written = await db.put(key, value)
        await written.await_durable()  # before this returns, the write is in memory only
        print(f"written {pair}", flush=True)
    await db.shutdown()


def main():
    try:
        asyncio.run(write(sys.argv[1], sys.argv[2:]))
    except (Error.Closed, Error.Data) as error:
        overtaken = "already exists" in str(error)  # while it opened the database
        if not overtaken and getattr(error, "reason", None) != CloseReason.FENCED:
            raise
        print(f"fenced: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
