// Sends a form by each of Node's usual ways: send_forms.cjs HOME
// A line in: {"by", "url", "fields": [[name, value]], "file": {"name", "type", "text"}}. A line out: its
// status, or what went wrong.
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const http = require("node:http");
const from = createRequire(process.argv[2] + "/package.json");
const NodeFormData = from("form-data");
const axios = from("axios");

function filled(form, { fields, file }, content) {
  for (const [name, value] of fields) form.append(name, value);
  content(form, file);
  return form;
}

const ofNode = (form, { name, type, text }) =>
  form.append("file", Buffer.from(text), { filename: name, contentType: type });
const ofBrowsers = (form, { name, type, text }) =>
  form.append("file", new Blob([text], { type }), name);

const ways = {
  undici: async (wanted) =>
    (await fetch(wanted.url, { method: "POST", body: filled(new FormData(), wanted, ofBrowsers) })).status,
  "form-data": (wanted) => new Promise((resolve, reject) => {
    const form = filled(new NodeFormData(), wanted, ofNode);
    const { hostname, port, pathname } = new URL(wanted.url);
    form.submit({ hostname, port, path: pathname }, (error, answer) => {
      if (error) return reject(error);
      answer.resume();
      resolve(answer.statusCode);
    });
  }),
  "axios with form-data": async (wanted) => {
    const form = filled(new NodeFormData(), wanted, ofNode);
    const options = { validateStatus: null, headers: form.getHeaders() };
    return (await axios.post(wanted.url, form, options)).status;
  },
  "axios with FormData": async (wanted) =>
    (await axios.post(wanted.url, filled(new FormData(), wanted, ofBrowsers), { validateStatus: null })).status,
};

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const wanted = JSON.parse(line);
    try {
      console.log(JSON.stringify(await ways[wanted.by](wanted)));
    } catch (error) {
      console.log(JSON.stringify(String(error)));
    }
  }
})();
