// The search page: a state that the address holds, and what the server says to it.

import { address, json, key, problem } from "./api.js";
import { Builder } from "./builder.js";
import { Details, askForKey } from "./dialogs.js";
import { fromFilter, toFilter } from "./filter.js";
import { flat } from "./format.js";
import { Grid } from "./grid.js";
import { take } from "./intake.js";
import { blank, button, say } from "./notice.js";
import { hangAsked, showAsked, showFilter, showSpaces } from "./panel.js";
import { thumbnail } from "./picture.js";
import { read, write } from "./state.js";
import { explain, summary } from "./words.js";

const $ = (id) => document.getElementById(id);

const files = new Map(); // {file, url} of pictures that were dropped, by the number that an entry of the history has
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
    controls();
    present(kept, kept.items);
    scrollTo(0, kept.y);
    return;
  }
  say("");
  $("blank").hidden = $("more").hidden = true;
  grid.wait(state.k, () => say(searching() ? "Searching …" : "Loading …"));
  try {
    view = await look(signal);
    present(view, view.items);
  } catch (failure) {
    if (signal.aborted) return;
    grid.fill([], "");
    fail(failure);
    later(failure, retried);
  }
}

// look asks for what the state says. The namespaces may be others than at the last look.
async function look(signal) {
  const known = spaces.length > 0;
  const told = json(address("namespaces"), { signal }).then(({ data }) => {
    spaces = data;
    controls();
  });
  if (!known) {
    await told;
    picture();
    if (spaces.length === 0) return { items: [], next: null, total: 0 };
  }
  const [answer] = await Promise.all([ask(signal), told]);
  return answer;
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
  if (state.id) return { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ id: state.id }) };
  const { file } = files.get(state.image);
  return { headers: { "Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream" }, body: file };
}

// present shows a view, or more items of it.
function present(found, items, after = false) {
  const cards = grid.fill(items, namespace(), after);
  for (const item of items) {
    for (const [field, value] of flat(item.metadata ?? {})) builder.notice(field, value);
  }
  $("more").hidden = !found.next;
  const empty = spaces.length === 0;
  say(empty ? "Nothing is indexed yet." : summary(found, { searching: searching(), filter: state.filter, space: space()?.items ?? 0 }));
  $("blank").hidden = found.items.length > 0;
  if (empty) blank("Add the images of a folder with this command:", `vicreg index add DIR --server ${address("./")}`, button("Reload", () => show()));
  else if (state.filter) blank("Try other conditions.", "", button("Remove the filter", () => go({ filter: "" })));
  else blank("There is nothing to show.", "", button("Reload", () => show()));
  return cards;
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

// heading says what is shown, before it is there.
function heading() {
  showAsked(state.id || (searching() ? files.get(state.image).file.name || "your image" : ""));
  if (spaces.length > 0 || !state.id) picture();
  showFilter(state.filter);
  builder.show(state.filter);
}

// picture hangs what is looked for. The namespace of an item must be known.
function picture() {
  if (searching()) hangAsked(state.id ? thumbnail({ id: state.id }, namespace()) : files.get(state.image).url);
}

// controls offers what the server has, as far as it is known.
function controls() {
  showSpaces(spaces, namespace(), state.k);
  if (spaces.length > 0) builder.offer(space()?.fields ?? []);
}

// only adds a condition to the filter.
function only(field, value) {
  const filter = state.filter ? JSON.parse(state.filter) : {};
  const added = { field, op: "eq", value: typeof value === "string" ? JSON.stringify(value) : String(value) };
  const there = fromFilter(filter)?.filter((c) => c.field !== field);
  go({ filter: JSON.stringify(there ? toFilter([...there, added]) : { $and: [filter, toFilter([added])] }) });
}

// found searches with a file. The browser keeps it for as long as the history may want it.
function found(file) {
  const n = ++serial;
  files.set(n, { file, url: new URL(URL.createObjectURL(file)) });
  const [oldest] = files.keys();
  if (files.size > most) {
    URL.revokeObjectURL(files.get(oldest).url);
    files.delete(oldest);
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
