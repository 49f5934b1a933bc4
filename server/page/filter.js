// Conditions as people make them, to and from the filter language of the API. A
// condition is {field, op, value}, with the value as it was typed.

export const operators = [
  ["eq", "is"], ["ne", "is not"], ["gte", "at least"], ["lte", "at most"], ["gt", "more than"], ["lt", "less than"],
  ["in", "one of"], ["nin", "none of"], ["exists", "exists"], ["missing", "does not exist"],
];
const words = Object.fromEntries(operators);

// toFilter is the JSON object of conditions that must all be fulfilled, null for none.
// What could be a number is one, and the text of it, too: nobody sees which it was.
export function toFilter(conditions) {
  const parts = conditions.filter((c) => c.field).map((c) => [c.field, tests(c)]);
  if (parts.length === 0) return null;
  const merged = new Map();
  for (const [field, test] of parts) {
    const there = merged.get(field) ?? {};
    if (Object.keys(test).some((op) => op in there)) return { $and: parts.map(([f, t]) => plain(f, t)) };
    merged.set(field, { ...there, ...test });
  }
  return Object.assign({}, ...[...merged].map(([field, test]) => plain(field, test)));
}

function tests({ op, value }) {
  switch (op) {
    case "exists": return { $exists: true };
    case "missing": return { $exists: false };
    case "in":
    case "nin": return { [`$${op}`]: pieces(value).flatMap(readings) };
    case "eq":
    case "ne": {
      const all = readings(value);
      if (all.length === 1) return { [`$${op}`]: all[0] };
      return { [op === "eq" ? "$in" : "$nin"]: all };
    }
  }
  return { [`$${op}`]: readings(value)[0] };
}

const plain = (field, test) => ({ [field]: Object.keys(test).join() === "$eq" ? test.$eq : test });

// pieces takes a list apart at its commas, but for those in quotes.
const pieces = (text) => (text.match(/\s*"(?:[^"\\]|\\.)*"\s*|[^,]+/g) ?? []).map((piece) => piece.trim()).filter((piece) => piece);

// readings are the values that a text may stand for. Quotes make it a text for sure.
function readings(text) {
  text = text.trim();
  const value = parsed(text);
  if (typeof value === "string") return [value];
  return value === undefined || value === null || typeof value === "object" ? [text] : [value, text];
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// fromFilter is the conditions of a filter, null when it says more than they can.
export function fromFilter(filter) {
  if (!isObject(filter)) return null;
  const out = [];
  for (const [field, want] of Object.entries(filter)) {
    if (field === "$and" && Array.isArray(want)) {
      const inner = want.map(fromFilter);
      if (inner.includes(null)) return null;
      out.push(...inner.flat());
    } else if (field.startsWith("$")) {
      return null;
    } else {
      for (const [op, value] of Object.entries(isObject(want) ? want : { $eq: want })) {
        const one = condition(field, op, value);
        if (!one) return null;
        out.push(one);
      }
    }
  }
  return out;
}

function condition(field, op, value) {
  const name = op.slice(1);
  if (op === "$exists") return typeof value === "boolean" ? { field, op: value ? "exists" : "missing", value: "" } : null;
  if (!(name in words) || !op.startsWith("$")) return null;
  if (!Array.isArray(value)) return scalar(value) && name !== "in" && name !== "nin" ? { field, op: name, value: written(value) } : null;
  if ((name !== "in" && name !== "nin") || !value.every(scalar)) return null;
  const typed = new Set(value.filter((v) => typeof v !== "string").map(String)); // each comes with its text
  const shown = value.filter((v) => typeof v !== "string" || !typed.has(v));
  if (shown.length === 1 && value.length === 2) return { field, op: name === "in" ? "eq" : "ne", value: written(shown[0]) };
  return { field, op: name, value: shown.map(written).join(", ") };
}

const scalar = (value) => ["string", "number", "boolean"].includes(typeof value);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// written is a value as it would be typed.
function written(value) {
  if (typeof value !== "string") return String(value);
  return value.includes(",") || value.trim() !== value || value === "" || readings(value).length > 1 || readings(value)[0] !== value ? JSON.stringify(value) : value;
}

// describe says what a filter lets through.
export function describe(text) {
  const conditions = fromFilter(parsed(text));
  if (!conditions?.length) return text;
  return conditions.map((c) => `${c.field} ${words[c.op]} ${c.value}`.trim()).join(" and ");
}
