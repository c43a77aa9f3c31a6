// A lock without expiry: the object is there for as long as the lock is held.
//
//     node lock.mjs KEY COMMAND...        run a command under the lock; LOCK_WAIT: seconds to wait for it (60)
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { argv, pid } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

/** Whether the object tells what came of a write: it was refused (412, and 404 where the object was deleted
 *  meanwhile), two writes met (409), or nobody knows (5xx, no answer). */
function settlesLater(error) {
  const status = error.$metadata?.httpStatusCode;
  if (status === undefined) return !(error instanceof TypeError || error instanceof SyntaxError);
  return [409, 412, 500, 502, 503, 504].includes(status) || error.name === "NoSuchKey";
}

export class Lock {
  constructor(s3, Bucket, Key) {
    this.s3 = s3;
    this.place = { Bucket, Key };
    this.id = `${hostname()}/${pid}/${randomUUID()}`;
  }

  async acquire(timeout = 60_000) {
    const deadline = Date.now() + timeout;
    while (!(await this.#attempt())) {
      if (Date.now() > deadline) {
        await this.release(); // an attempt whose answer was lost may have taken it after all
        throw new Error(`${this.place.Key} is locked by ${(await this.#read()).owner}`);
      }
      await sleep(100 + Math.random() * 400);
    }
  }

  async #attempt() {
    try {
      await this.s3.send(new PutObjectCommand({ ...this.place, Body: this.id, IfNoneMatch: "*" }));
      return true;
    } catch (error) {
      if (!settlesLater(error)) throw error;
    }
    // The refusal may be that of a retry, whose first attempt took the lock: the object has our id.
    try {
      return (await this.#read()).owner === this.id;
    } catch (error) {
      if (!settlesLater(error)) throw error;
      return false;
    }
  }

  /** The delete names the object that was read, so that it is never somebody else's. */
  async release(timeout = 60_000) {
    const deadline = Date.now() + timeout;
    for (;;) {
      try {
        const { owner, etag } = await this.#read();
        if (owner === this.id) await this.s3.send(new DeleteObjectCommand({ ...this.place, IfMatch: etag }));
        return;
      } catch (error) {
        if (!settlesLater(error) || Date.now() > deadline) throw error;
      }
      await sleep(100 + Math.random() * 400);
    }
  }

  async #read() {
    try {
      const got = await this.s3.send(new GetObjectCommand(this.place));
      return { owner: await got.Body.transformToString(), etag: got.ETag };
    } catch (error) {
      if (error.name !== "NoSuchKey") throw error;
      return {};
    }
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const lock = new Lock(new S3Client({ forcePathStyle: true }), process.env.BUCKET, argv[2]);
  await lock.acquire(1000 * Number(process.env.LOCK_WAIT ?? 60));
  try {
    const env = { ...process.env, LOCK_OWNER: lock.id };
    const child = spawn(argv[3], argv.slice(4), { env, stdio: "inherit" });
    process.on("SIGTERM", () => child.kill());
    process.exitCode = await new Promise((resolve, reject) => {
      child.on("error", reject).on("exit", (code, signal) => resolve(signal ? 1 : code));
    });
  } finally {
    await lock.release();
  }
}
