// Speaks with the API of the server that the page comes from. All addresses are
// relative to the page's, which may be behind a proxy's path.

// The key is kept for this tab alone.
const name = "vicreg-key";
let ask = async () => false;

export const key = {
  get: () => sessionStorage.getItem(name) ?? "",
  set: (value) => sessionStorage.setItem(name, value),
  // asker is called when the server wants a key, or another than the one it was sent;
  // it sets one and answers true, or false when there is none to be had.
  askedBy(asker) { ask = asker; },
};

// Failure is an answer that is none: its kind is the code of the server's problem, or
// "unreachable", "slow" or "strange".
export class Failure extends Error {
  constructor(kind, status = 0, detail = "", after = 0) {
    super(`${kind}: ${detail}`);
    Object.assign(this, { kind, status, detail, after });
  }
}

const patience = 60_000; // ms, more than the server's own deadline

// address is that of a path of the API.
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [field, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(field, value);
  }
  return url;
}

// itemPath is where an item is: its id is one part of the path, whatever is in it.
export const itemPath = (id) => `items/${encodeURIComponent(id)}`;

// send asks for an answer that is well, and asks for the key when it is wanted.
export async function send(url, options = {}) {
  for (;;) {
    const sent = key.get();
    const answer = await reach(url, { ...options, headers: { ...options.headers, ...authorization(sent) } });
    if (answer.ok) return answer;
    if (answer.status !== 401) throw await refusal(answer);
    if (key.get() === sent && !await ask(sent !== "")) throw await refusal(answer);
  }
}

// json is the body of an answer.
export async function json(url, options) {
  const answer = await send(url, options);
  try {
    return await answer.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Failure("strange", answer.status);
  }
}

const authorization = (value) => (value ? { Authorization: `Bearer ${value}` } : {});

async function reach(url, options) {
  const limit = AbortSignal.timeout(patience);
  try {
    return await fetch(url, { ...options, signal: options.signal ? AbortSignal.any([options.signal, limit]) : limit });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Failure(limit.aborted ? "slow" : "unreachable");
  }
}

// refusal reads a problem; what stands between page and server may send anything.
async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  const kind = String(problem?.type ?? "").replace("urn:vicreg:problem:", "");
  const detail = typeof problem?.detail === "string" ? problem.detail : "";
  return new Failure(kind, answer.status, detail, Number(answer.headers.get("Retry-After")) || 0);
}

// problem is the Failure of a row of an answer that has an error in place of results.
export function problem(row) {
  return new Failure(String(row.type ?? "").replace("urn:vicreg:problem:", ""), row.status, row.detail ?? "");
}
