// Serves s3rver on a port of the kernel's choice: s3rver.cjs DIRECTORY_OF_NODE_MODULES DATA
const { createRequire } = require("node:module");
const [home, directory] = process.argv.slice(2);
const S3rver = createRequire(home + "/package.json")("s3rver");

new S3rver({ address: "127.0.0.1", port: 0, directory, silent: true, vhostBuckets: false })
  .run()
  .then(({ port }) => console.log(`listening on http://127.0.0.1:${port}`))
  .catch((error) => { console.error(error); process.exit(1); });
