// Signs uploads for a page: each URL creates one key and never overwrites it.
//
//     node server.mjs [PORT]        serves the page and POST /sign
//
// Who may upload, and under which name, is for you to decide here.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

// The default would promise the checksum of an empty body in the URL.
const s3 = new S3Client({ forcePathStyle: true, requestChecksumCalculation: "WHEN_REQUIRED" });
const files = { "/": ["page.html", "text/html"], "/upload.mjs": ["upload.mjs", "text/javascript"] };

async function sign(name) {
  if (!/^[\w.-]{1,100}$/.test(name)) throw new Error("this name is not allowed");
  const place = { Bucket: process.env.BUCKET, Key: `uploads/${name}` };
  const headers = { "if-none-match": "*", "x-amz-meta-upload": randomUUID() };
  const create = new PutObjectCommand({
    ...place, IfNoneMatch: "*", Metadata: { upload: headers["x-amz-meta-upload"] },
  });
  // Signed as headers, so that the page cannot leave them out.
  const names = new Set(Object.keys(headers));
  const put = await getSignedUrl(s3, create, { expiresIn: 900, signableHeaders: names, unhoistableHeaders: names });
  return { put, headers, get: await getSignedUrl(s3, new GetObjectCommand(place), { expiresIn: 900 }) };
}

const server = createServer(async (request, response) => {
  try {
    if (request.method === "POST" && request.url === "/sign") {
      let text = "";
      for await (const piece of request) if ((text += piece).length > 1000) throw new Error("too long");
      const signed = JSON.stringify(await sign(JSON.parse(text).name));
      response.writeHead(200, { "content-type": "application/json" }).end(signed);
    } else if (files[request.url]) {
      const [name, type] = files[request.url];
      response.writeHead(200, { "content-type": type }).end(await readFile(new URL(name, import.meta.url)));
    } else {
      response.writeHead(404).end();
    }
  } catch (error) {
    response.writeHead(400).end(error.message);
  }
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
