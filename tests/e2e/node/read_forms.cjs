// Reads forms as two releases of busboy do, s3rver's own and a newer one: read_forms.cjs HOME
// A line in: {"type", "body" in base64}. A line out: {"old", "new"}, each a list of [name, value, is
// it a file], values in base64.
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const home = process.argv[2];
const OldBusboy = createRequire(home + "/node_modules/s3rver/package.json")("busboy");
const busboy = createRequire(home + "/package.json")("busboy");

function read(make, type, body) {
  return new Promise((resolve) => {
    const found = [];
    const done = () => resolve(found.map(([name, pieces, isFile]) =>
      [name, Buffer.concat(pieces).toString("base64"), isFile]));
    let reader;
    try {
      reader = make({ headers: { "content-type": type } });
    } catch (error) {
      return done();
    }
    reader.on("field", (name, value) => found.push([name, [Buffer.from(value)], false]));
    reader.on("file", (name, file) => {
      const pieces = [];
      found.push([name, pieces, true]);
      file.on("data", (piece) => pieces.push(piece));
      file.on("error", () => {});
    });
    for (const end of ["finish", "close", "error"]) reader.on(end, () => setImmediate(done));
    reader.end(body);
  });
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { type, body } = JSON.parse(line);
    const bytes = Buffer.from(body, "base64");
    const old = await read((options) => new OldBusboy(options), type, bytes);
    console.log(JSON.stringify({ old, new: await read(busboy, type, bytes) }));
  }
})();
