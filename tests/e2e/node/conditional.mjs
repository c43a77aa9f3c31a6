// The AWS SDK for JavaScript, each operation twice: conditional.mjs DIRECTORY_OF_NODE_MODULES KEY
// Prints one JSON line per call: its name, and "ok" or [error name, status, Condition].
import { createRequire } from "node:module";

const [home, key] = process.argv.slice(2);
const require = createRequire(home + "/package.json");
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");

const Bucket = process.env.BUCKET;
const client = new s3.S3Client({ forcePathStyle: true });
const large = Buffer.alloc(6 << 20);

async function say(name, call) {
  let outcome = "ok", answer;
  try {
    answer = await call();
  } catch (error) {
    outcome = [error.name, error.$metadata?.httpStatusCode, error.Condition];
  }
  console.log(JSON.stringify([name, outcome]));
  return answer;
}

const send = (Command, more) => () => client.send(new s3[Command]({ Bucket, Key: key, ...more }));
const create = (Body) => send("PutObjectCommand", { Body, IfNoneMatch: "*" });
const upload = () => new Upload({
  client, params: { Bucket, Key: key + "-large", Body: large, IfNoneMatch: "*" },
}).done();
const copy = send("CopyObjectCommand", {
  Key: key + "-copy", CopySource: `${Bucket}/${key}`, IfNoneMatch: "*",
});

const { ETag } = await say("create", create("one"));
await say("create", create("two"));
await say("replace", send("PutObjectCommand", { Body: "two", IfMatch: ETag }));
await say("replace", send("PutObjectCommand", { Body: "three", IfMatch: ETag }));
await say("upload", upload);
await say("upload", upload);
await say("copy", copy);
await say("copy", copy);
await say("delete", send("DeleteObjectCommand", { IfMatch: ETag }));
const many = await client.send(new s3.DeleteObjectsCommand({
  Bucket, Delete: { Objects: [{ Key: key, ETag }] },
}));
console.log(JSON.stringify(["delete many", (many.Errors ?? []).map((error) => error.Code)]));
const kept = await client.send(new s3.GetObjectCommand({ Bucket, Key: key })).catch(() => null);
console.log(JSON.stringify(["kept", (await kept?.Body.transformToString()) ?? null]));
