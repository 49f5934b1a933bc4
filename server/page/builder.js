// The filter's form: conditions from lists, or JSON for those who know it.

import { fromFilter, operators, toFilter } from "./filter.js";
import { element } from "./format.js";

const $ = (id) => document.getElementById(id);

// Builder edits a filter. apply is called with its text, "" for none.
export class Builder {
  fields = [];
  known = false; // whether those are all
  seen = new Map(); // values of fields, to be offered
  applied = ""; // the filter that what is shown has gone through

  constructor(apply) {
    $("filter").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.text();
      if (text === null) return;
      this.applied = text;
      this.dress();
      apply(text);
    });
    $("add").addEventListener("click", () => {
      this.row({ field: this.fields[0] ?? "", op: "eq", value: "" });
      $("conditions").lastElementChild.querySelector(".of").focus();
    });
    $("mode").addEventListener("click", () => this.toggle());
  }

  get raw() { return !$("raw").hidden; }

  // offer sets the fields that can be chosen.
  offer(fields) {
    this.fields = fields;
    this.known = true;
    for (const select of $("conditions").querySelectorAll(".of")) options(select, fields, select.value);
    this.dress();
  }

  // notice remembers values, to be offered for their fields.
  notice(field, value) {
    for (const one of Array.isArray(value) ? value : [value]) {
      const known = this.seen.get(field) ?? new Set();
      if (known.size < 50) this.seen.set(field, known.add(String(one)));
    }
  }

  // show edits a filter that came from elsewhere; what is being edited stays as it is.
  // What is no JSON is left to be mended.
  show(text) {
    if (text !== this.applied) this.reset(text);
  }

  reset(text) {
    $("wrong").textContent = "";
    const filter = text ? parse(text) : {};
    const conditions = filter && fromFilter(filter);
    this.rawly(!conditions);
    $("json").value = conditions ? "" : text;
    $("conditions").replaceChildren();
    conditions?.forEach((one) => this.row(one));
    this.applied = text;
    this.dress();
  }

  // text is the filter as it stands, null after saying what is wrong with it.
  text() {
    $("wrong").textContent = "";
    if (!this.raw) {
      const filter = toFilter(this.conditions());
      return filter ? JSON.stringify(filter) : "";
    }
    const text = $("json").value.trim();
    const filter = text ? parse(text) : {};
    if (!filter || typeof filter !== "object" || Array.isArray(filter)) {
      $("wrong").textContent = "This is not a JSON object, such as {\"label\": \"cat\"}.";
      $("json").focus();
      return null;
    }
    return Object.keys(filter).length ? JSON.stringify(filter) : "";
  }

  conditions() {
    return [...$("conditions").querySelectorAll(".condition")].map((row) => ({
      field: row.querySelector(".of").value, op: row.querySelector(".op").value, value: row.querySelector(".value").value,
    }));
  }

  // toggle goes between conditions and JSON, if they can say the same.
  toggle() {
    const text = this.text();
    if (text === null) return;
    if (!this.raw) {
      $("json").value = text ? JSON.stringify(JSON.parse(text), null, 1) : "";
      this.rawly(true);
      $("json").focus();
      return;
    }
    const { applied } = this;
    this.reset(text);
    this.applied = applied;
    this.dress();
    if (this.raw) $("wrong").textContent = "This filter is too complex for the form; edit it as JSON.";
  }

  rawly(on) {
    $("raw").hidden = !on;
    $("conditions").hidden = on;
    $("mode").setAttribute("aria-pressed", on);
    this.dress();
  }

  // dress shows what can be done: without fields there is nothing to add, without
  // conditions nothing to apply, unless there were some.
  dress() {
    $("add").hidden = this.raw || this.fields.length === 0;
    $("none").hidden = this.raw || this.fields.length > 0 || !this.known;
    $("apply").hidden = !this.raw && !this.applied && !$("conditions").children.length;
  }

  row({ field, op, value }) {
    const row = element("fieldset", "condition");
    const n = $("conditions").querySelectorAll(".condition").length + 1;
    const legend = element("legend", "hidden", `Condition ${n}`);
    const of = labelled(element("select", "of"), "Field");
    const test = labelled(element("select", "op"), "Test");
    const typed = labelled(element("input", "value"), "Value");
    const offers = element("datalist");
    options(of, this.fields, field);
    for (const [name, words] of operators) test.append(new Option(words, name, false, name === op));
    Object.assign(typed, { value, autocomplete: "off", spellcheck: false });
    typed.setAttribute("list", offers.id = `values-${serial++}`);
    const remove = element("button", "quiet drop", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove condition ${n}`);
    remove.addEventListener("click", () => {
      row.remove();
      this.dress();
      $("add").focus();
    });
    const dress = () => {
      row.classList.toggle("whole", ["exists", "missing"].includes(test.value));
      typed.placeholder = ["in", "nin"].includes(test.value) ? "cat, dog" : "value";
      offers.replaceChildren(...[...this.seen.get(of.value) ?? []].sort().map((one) => new Option(one)));
    };
    for (const control of [of, test]) control.addEventListener("change", dress);
    typed.addEventListener("focus", dress);
    dress();
    row.append(legend, of, test, remove, typed, offers);
    $("conditions").append(row);
    this.dress();
  }
}

let serial = 0;

function labelled(control, label) {
  control.setAttribute("aria-label", label);
  return control;
}

// options offers fields, and the one chosen even where nothing has it any more.
function options(select, fields, chosen) {
  const all = chosen && !fields.includes(chosen) ? [chosen, ...fields] : fields;
  select.replaceChildren(...all.map((field) => new Option(field, field, false, field === chosen)));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
