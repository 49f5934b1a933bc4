// What is looked for, and where.

import { describe } from "./filter.js";
import { images, number } from "./format.js";
import { hang } from "./picture.js";
import { counts } from "./state.js";

const $ = (id) => document.getElementById(id);

// showAsked names what is looked for, "" for nothing.
export function showAsked(name) {
  $("results-title").textContent = name ? `Nearest to ${name}` : "All images";
  document.title = name ? `${name} · vicreg` : "vicreg: search by image";
  $("intake").hidden = name !== "";
  $("asked").hidden = name === "";
  $("asked-name").textContent = $("asked-picture").alt = name;
}

export const hangAsked = (url) => hang($("asked-picture"), url);

// showFilter says what the filter lets through, above what it has let through.
export function showFilter(filter) {
  $("filtered").hidden = !filter;
  $("filtered-words").textContent = filter && `Only where ${describe(filter)}`;
}

// showSpaces offers namespaces and numbers of results, with those in use.
export function showSpaces(spaces, used, k) {
  const names = new Set([...spaces.map((s) => s.name), used]);
  $("namespace").replaceChildren(...[...names].map((name) => new Option(name, name, false, name === used)));
  const all = [...new Set([...counts, k])].sort((a, b) => a - b);
  $("count").replaceChildren(...all.map((n) => new Option(number(n), n, false, n === k)));
  const total = images(spaces.reduce((sum, s) => sum + s.items, 0));
  if (spaces.length > 0) $("about").textContent = spaces.length > 1 ? `${total} in ${number(spaces.length)} namespaces` : total;
}
