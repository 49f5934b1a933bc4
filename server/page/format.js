// Numbers and metadata as people read them.

const grouped = new Intl.NumberFormat("en");

export const number = (n) => grouped.format(n);

export const images = (n) => `${number(n)} ${n === 1 ? "image" : "images"}`;

// closeness says how rare a score is. It is rounded down, for 100 % would be untrue.
export function closeness(percentile) {
  if (typeof percentile !== "number") return "";
  if (percentile >= 100) return "closer than any pair measured";
  if (percentile < 1) return "closer than fewer than 1 % of pairs";
  const digits = percentile >= 99 ? 2 : percentile >= 90 ? 1 : 0;
  return `closer than ${(Math.floor(percentile * 10 ** digits) / 10 ** digits).toFixed(digits)} % of pairs`;
}

// short is a name that fits into a sentence.
export const short = (name) => (name.length > 60 ? `${name.slice(0, 28)}…${name.slice(-28)}` : name);

// flat is metadata as paths and values: lists of plain values stay together.
export function flat(value, path = "") {
  if (typeof value !== "object" || value === null) return path ? [[path, value]] : [];
  if (Array.isArray(value) && value.every((v) => typeof v !== "object")) return [[path, value]];
  return Object.entries(value).flatMap(([field, inner]) => flat(inner, path ? `${path}.${field}` : field));
}

export const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value));

// element makes one with a class and a text, which is never read as HTML.
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== "") made.textContent = text;
  return made;
}
