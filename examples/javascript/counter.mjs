// A counter: read, add one, write back what was read only if it is still that (compare and swap).
//
//     node counter.mjs KEY [TIMES]        add one, so many times; print each number
import { randomUUID } from "node:crypto";
import { argv } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

const KEPT = 100; // the ids of so many increments stay in the object

/** Adds one and returns the new number. The id of the increment is written beside the number, so that a retry
 *  sees whether an attempt before it has landed. It also makes each body, and so each ETag, new. */
export async function increment(s3, Bucket, Key, timeout = 60_000) {
  const mine = randomUUID(), deadline = Date.now() + timeout;
  let doubt = null; // the number before the first attempt that may have landed unheard
  for (;;) {
    let state = null, refused = false;
    try {
      state = await read(s3, Bucket, Key);
      const { value, recent, condition } = state;
      if (recent.includes(mine)) return value - recent.indexOf(mine);
      if (doubt !== null && value - doubt >= KEPT) break;
      const Body = JSON.stringify({ value: value + 1, recent: [mine, ...recent].slice(0, KEPT) });
      await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...condition }));
      return value + 1;
    } catch (error) {
      const status = error.$metadata?.httpStatusCode; // undefined: no answer
      const again = [undefined, 409, 412, 500, 502, 503, 504].includes(status) || error.name === "NoSuchKey";
      if (!again || error instanceof TypeError || error instanceof SyntaxError) throw error;
      // Another was first. A refusal of the SDK's own retry proves nothing: its first try may have landed.
      refused = status < 500 && error.$metadata.attempts === 1;
    }
    if (state && !refused) doubt ??= state.value;
    if (Date.now() > deadline) break;
    await sleep(10 + Math.random() * 190);
  }
  throw new Error(doubt === null ? `no turn in ${timeout} ms: ${Key}`
    : `nobody can tell whether the increment was counted (once at most): ${Key}`);
}

/** The number, the ids of the latest increments, newest first, and the condition of the next write. */
async function read(s3, Bucket, Key) {
  try {
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }));
    return { ...JSON.parse(await got.Body.transformToString()), condition: { IfMatch: got.ETag } };
  } catch (error) {
    if (error.name !== "NoSuchKey") throw error;
    return { value: 0, recent: [], condition: { IfNoneMatch: "*" } };
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const s3 = new S3Client({ forcePathStyle: true });
  for (let times = Number(argv[3] ?? 1); times > 0; times--) {
    console.log(await increment(s3, process.env.BUCKET, argv[2]));
  }
}
