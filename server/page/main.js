// The search page: a state that the address holds, and what the server says to it.

import { address, json, key, problem } from "./api.js";
import { Builder } from "./builder.js";
import { Details, askForKey } from "./dialogs.js";
import { describe, toFilter, fromFilter } from "./filter.js";
import { element, flat, images, number } from "./format.js";
import { Grid } from "./grid.js";
import { take } from "./intake.js";
import { hang, thumbnail } from "./picture.js";
import { explain } from "./problems.js";
import { counts, read, write } from "./state.js";

const $ = (id) => document.getElementById(id);

const files = new Map(); // pictures that were dropped, by the number that an entry of the history has
const views = new Map(); // what entries of the history showed, to go back at once
const most = 20; // of both
let serial = Date.now();
let state = read(location, history.state);
let view = null; // {items, next, total}: what is shown
let spaces = []; // of GET /namespaces
let entry = ++serial; // the number of the history's entry that is shown
let running = new AbortController();
let again = 0; // the timer of a retry

const like = (item) => go({ id: item.id, image: 0 });
const grid = new Grid($("grid"), { like, open: (item) => details.open(item, namespace()) });
const details = new Details({ like, only });
const builder = new Builder((filter) => go({ filter }, { stay: true }));

const namespace = () => state.namespace || spaces.find((s) => s.name === "default" && s.items > 0)?.name || spaces[0]?.name || "default";
const space = () => spaces.find((s) => s.name === namespace());

// go takes a step that the back button takes back.
function go(change, { stay = false } = {}) {
  keep();
  state = { ...state, ...change };
  entry = ++serial;
  history.pushState({ image: state.image, n: entry }, "", write(state));
  show({ stay });
}

// keep remembers what is shown, for when it is come back to.
function keep() {
  views.delete(entry);
  if (view) views.set(entry, { ...view, y: scrollY });
  for (const n of views.keys()) if (views.size > most) views.delete(n);
}

// show brings everything in line with the state. The focus goes to the results, unless
// it is to stay where it is.
async function show({ stay = false, kept = null, retried = 0 } = {}) {
  running.abort();
  clearTimeout(again);
  running = new AbortController();
  const { signal } = running;
  heading();
  if (!stay) {
    $("results-title").focus({ preventScroll: true });
    if (!kept) scrollTo(0, 0);
  }
  view = kept;
  if (kept) {
    present(kept, kept.items);
    scrollTo(0, kept.y);
    return;
  }
  say("");
  $("blank").hidden = $("more").hidden = true;
  grid.wait(state.k, () => say(searching() ? "Searching …" : "Loading …"));
  try {
    const first = spaces.length === 0;
    spaces = (await json(address("namespaces"), { signal })).data;
    controls();
    if (first) hangAsked();
    const found = spaces.length === 0 ? { items: [], next: null, total: 0 } : await ask(signal);
    view = found;
    present(found, found.items);
  } catch (failure) {
    if (signal.aborted) return;
    grid.fill([], "");
    fail(failure);
    later(failure, retried);
  }
}

const searching = () => Boolean(state.id || files.has(state.image));

// ask gets what the state asks for: the nearest, or a page of all.
async function ask(signal, after = "") {
  const common = { namespace: namespace(), filter: state.filter };
  if (!searching()) {
    const page = await json(address("items", { ...common, limit: state.k, after }), { signal });
    return { items: page.data, next: page.next, total: page.total };
  }
  const answer = await json(address("similar", { ...common, k: state.k }), { method: "POST", signal, ...query() });
  const row = answer.data[0];
  if (row.error) throw problem(row.error);
  return { items: row.results, next: null, total: space()?.items ?? 0 };
}

// query is the body of a search. What the browser takes for no image is sent all the
// same: the server looks into the file.
function query() {
  const file = state.id ? null : files.get(state.image);
  if (!file) return { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ id: state.id }) };
  return { headers: { "Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream" }, body: file };
}

// present shows a view, or more items of it.
function present(found, items, after = false) {
  const cards = grid.fill(items, namespace(), after);
  for (const item of items) {
    for (const [field, value] of flat(item.metadata ?? {})) builder.notice(field, value);
  }
  $("more").hidden = !found.next;
  say(summary(found));
  if (found.items.length === 0) blank();
  else $("blank").hidden = true;
  return cards;
}

function summary({ items, total }) {
  const n = items.length;
  if (spaces.length === 0) return "Nothing is indexed yet.";
  if (!searching()) return n === 0 ? (state.filter ? "No image fulfils the filter." : "This namespace is empty.") : n < total ? `${number(n)} of ${images(total)}` : images(total);
  if (n === 0) return state.filter ? "No image fulfils the filter." : "There is no other image.";
  return state.filter ? `The ${n === 1 ? "nearest image" : `${number(n)} nearest`} that the filter lets through` : `The ${n === 1 ? "nearest" : `${number(n)} nearest`} of ${images(total)}`;
}

// blank says what to do where there is nothing to see.
function blank() {
  const parts = [];
  if (spaces.length === 0) {
    parts.push(element("p", "", "Images come in by a command, given the folder that they are in:"),
      element("code", "", `vicreg index add DIR --server ${address("./")}`), button("Look again", () => show()));
  } else if (state.filter) {
    parts.push(element("p", "", "Other conditions may let something through."), button("Remove the filter", () => go({ filter: "" })));
  } else {
    parts.push(element("p", "", "There is nothing to show."), button("Look again", () => show()));
  }
  $("blank").replaceChildren(...parts);
  $("blank").hidden = false;
}

function button(words, act) {
  const made = element("button", "button", words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// say puts a sentence where it is read out.
function say(sentence, { detail = "", actions = [], alarm = false } = {}) {
  $("notice").classList.toggle("alarm", alarm);
  $("status").textContent = sentence;
  $("detail").textContent = detail;
  $("detail").hidden = !detail;
  $("actions").replaceChildren(...actions);
}

// fail says what went wrong, and what can be done: retry is how to try again.
function fail(failure, retry = () => show()) {
  const { sentence, detail, actions } = explain(failure, { id: state.id, filtered: state.filter });
  const acts = {
    retry: ["Try again", retry], key: ["Enter the key", retry],
    all: ["Show all images", () => go({ id: "", image: 0 })], unfilter: ["Remove the filter", () => go({ filter: "" })],
  };
  say(sentence, { detail, actions: actions.map((name) => button(...acts[name])), alarm: true });
}

// later asks a busy server again when it said that it has time, a few times.
function later({ status, after }, retried) {
  if (status === 429 && after > 0 && after <= 60 && retried < 3) again = setTimeout(() => show({ stay: true, retried: retried + 1 }), after * 1000);
}

// heading is what the page says that it shows.
function heading() {
  const file = state.id ? null : files.get(state.image);
  const name = state.id || file?.name || "";
  $("results-title").textContent = name ? `Nearest to ${name}` : "All images";
  document.title = name ? `${name} · vicreg` : "vicreg: search by image";
  $("intake").hidden = Boolean(name);
  $("asked").hidden = !name;
  $("asked-name").textContent = $("asked-picture").alt = name;
  if (file) hang($("asked-picture"), new URL(file.url));
  else if (spaces.length > 0) hangAsked();
  $("filtered").hidden = !state.filter;
  $("filtered-words").textContent = state.filter && `Only where ${describe(state.filter)}`;
  builder.show(state.filter);
}

// hangAsked shows the item whose neighbours are asked for, once its namespace is known.
function hangAsked() {
  if (state.id) hang($("asked-picture"), thumbnail({ id: state.id }, namespace()));
}

// controls offers what the server has, as far as it is known.
function controls() {
  const names = spaces.map((s) => s.name);
  if (!names.includes(namespace())) names.push(namespace());
  $("namespace").replaceChildren(...names.map((name) => new Option(name, name, false, name === namespace())));
  const all = [...new Set([...counts, state.k])].sort((a, b) => a - b);
  $("count").replaceChildren(...all.map((k) => new Option(number(k), k, false, k === state.k)));
  if (spaces.length === 0) return;
  builder.offer(space()?.fields ?? []);
  const total = spaces.reduce((sum, s) => sum + s.items, 0);
  $("about").textContent = spaces.length > 1 ? `${images(total)} in ${number(spaces.length)} namespaces` : images(total);
}

// only adds a condition to the filter.
function only(field, value) {
  const filter = state.filter ? JSON.parse(state.filter) : {};
  const added = { field, op: "eq", value: typeof value === "string" ? JSON.stringify(value) : String(value) };
  const there = fromFilter(filter)?.filter((c) => c.field !== field);
  go({ filter: JSON.stringify(there ? toFilter([...there, added]) : { $and: [filter, toFilter([added])] }) });
}

function found(file) {
  const n = ++serial;
  files.set(n, Object.assign(file, { url: URL.createObjectURL(file) }));
  for (const [old, { url }] of files) {
    if (files.size <= most) break;
    URL.revokeObjectURL(url);
    files.delete(old);
  }
  go({ id: "", image: n });
}

async function more() {
  const { signal } = running;
  const shown = view;
  $("more").disabled = true;
  try {
    const next = await ask(signal, shown.next);
    view = { ...next, items: [...shown.items, ...next.items] };
    present(view, next.items, true)[0]?.querySelector(".like").focus();
  } catch (failure) {
    if (!signal.aborted) fail(failure, more);
  } finally {
    $("more").disabled = false;
  }
}

function listen() {
  take({ choose: [$("choose"), $("another")], input: $("file"), veil: $("veil"), found, missed: (sentence) => say(sentence, { alarm: true }) });
  $("namespace").addEventListener("change", (event) => go({ namespace: event.target.value, id: "" }, { stay: true }));
  $("count").addEventListener("change", (event) => go({ k: Number(event.target.value) }, { stay: true }));
  $("clear").addEventListener("click", () => go({ id: "", image: 0 }));
  $("unfilter").addEventListener("click", () => go({ filter: "" }));
  $("more").addEventListener("click", more);
  $("home").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go({ id: "", image: 0, filter: "" });
  });
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("results-title").focus();
  });
  $("refine").addEventListener("click", () => open($("panel").dataset.open !== "true"));
  addEventListener("popstate", (event) => {
    keep();
    entry = event.state?.n ?? ++serial;
    state = read(location, event.state);
    show({ kept: views.get(entry) });
  });
  addEventListener("online", () => { if (!view) show({ stay: true }); });
}

// open shows the settings where the window is narrow; elsewhere they always are.
function open(on) {
  $("panel").dataset.open = on;
  $("refine").setAttribute("aria-expanded", on);
}

history.scrollRestoration = "manual";
history.replaceState({ image: state.image, n: entry }, "");
key.askedBy(askForKey);
open(state.filter !== "");
listen();
controls();
show({ stay: true });
