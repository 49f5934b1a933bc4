// What the page says: each thing in one sentence.

import { images, number, short } from "./format.js";

// summary says what is shown of a view. space is how many images its namespace has.
export function summary({ items, total }, { searching, filter, space }) {
  const n = items.length;
  if (n === 0 && filter) return "No image matches the filter.";
  if (!searching) return n === 0 ? "This namespace is empty." : n < total ? `${number(n)} of ${images(total)}` : images(total);
  if (n === 0) return "There are no other images.";
  const nearest = n === 1 ? "The nearest" : `The ${number(n)} nearest`;
  return filter ? `${nearest} matching the filter` : `${nearest} of ${images(space)}`;
}

// explain says what went wrong, and what can be done: "retry", "key", "all" (leave the
// search) or "unfilter".
export function explain(failure, { id, filtered } = {}) {
  const { kind, status, detail } = failure;
  switch (kind) {
    case "unreachable": return say("The server cannot be reached.", ["retry"], "It may have stopped, or the network is down.");
    case "slow": return say("The server has not answered within a minute.", ["retry"]);
    case "strange": return say("The answer does not come from this server; a proxy may be in between.", ["retry"]);
    case "forbidden": return say("The server does not allow searches from this address.", ["retry"], detail);
    case "no-index": return say("This server has no index to search.", ["retry"], "Start it with --index FILE.");
  }
  switch (status) {
    case 401: return say("This server requires an API key.", ["key"]);
    case 403: return say("This API key may not search here.", ["key"], detail);
    case 400: return filtered ? say("The server rejected this filter.", ["unfilter"], detail) : say("The server rejected the request.", ["all"], detail);
    case 404: return id ? say(`There is no “${short(id)}” in this namespace.`, ["all"]) : say("The server does not know this address.", ["retry"], detail);
    case 409: return say("The index was built with a different model than the server runs, so images cannot be compared.", ["retry", "all"], detail);
    case 413: return say("This image is too large for the server.", ["all"], detail);
    case 415:
    case 422: return say("This file is not an image that the server can read.", ["all"], detail);
    case 429: return say(`The server is busy; try again ${inSeconds(failure.after)}.`, ["retry"]);
    case 503: return say("The server is not ready yet.", ["retry"], detail);
    case 504: return say("The server did not finish in time.", ["retry"], detail);
  }
  return say(`The server answered with error ${status}.`, ["retry"], detail);
}

function say(sentence, actions, detail = "") {
  return { sentence, actions, detail };
}

const inSeconds = (n) => (n > 1 ? `in ${n} seconds` : n === 1 ? "in a second" : "in a moment");
