// Reads a batch's keys as s3rver does: read_documents.cjs HOME
// A line in: the document in base64. A line out: the keys, or null where it is refused.
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const s3rver = createRequire(process.argv[2] + "/node_modules/s3rver/package.json");
const parser = s3rver("fast-xml-parser");
const he = s3rver("he");

createInterface({ input: process.stdin }).on("line", (line) => {
  const document = Buffer.from(line, "base64").toString("utf8");
  let found = null;
  try {
    if (parser.validate(document) === true) {
      const root = parser.parse(document, { tagValueProcessor: (text) => he.decode(text) });
      const values = (list, name) => [].concat(list ?? []).map((each) => String(each[name]));
      if (root.Delete) found = values(root.Delete.Object, "Key");
      if (root.CompleteMultipartUpload) {
        const parts = root.CompleteMultipartUpload.Part;
        const [numbers, etags] = [values(parts, "PartNumber"), values(parts, "ETag")];
        found = numbers.map((number, index) => `${number} ${etags[index]}`);
      }
    }
  } catch (error) {
    found = ["thrown: " + error.message];
  }
  console.log(JSON.stringify(found));
});
