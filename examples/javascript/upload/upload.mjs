// Runs in the page. Resolves to "created", or to "exists" if another upload has the name already.
export async function upload(file, tries = 5) {
  const answer = await fetch("/sign", { method: "POST", body: JSON.stringify({ name: file.name }) });
  if (!answer.ok) throw new Error(await answer.text());
  const { put, headers, get } = await answer.json();
  for (let attempt = 1; ; attempt++) {
    let problem;
    try {
      const signal = AbortSignal.timeout(120_000);
      const told = await fetch(put, { method: "PUT", headers, body: file, signal });
      if (told.ok) return "created";
      if (told.status === 412) {
        // Perhaps we have created it, and the answer was lost: the object has our id. This holds of the first
        // attempt too, since browsers send a request again of themselves when a connection breaks.
        const there = await fetch(get, { signal });
        await there.body.cancel(); // its headers are enough; not a HEAD, of which some stores show a page nothing
        const mine = there.headers.get("x-amz-meta-upload") === headers["x-amz-meta-upload"];
        return mine ? "created" : "exists";
      }
      problem = new Error(`the store says ${told.status}`);
      if (![409, 500, 502, 503, 504].includes(told.status)) attempt = tries;
    } catch (error) {
      problem = error; // no answer: it may have been created
    }
    if (attempt >= tries) throw problem;
    await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
  }
}
