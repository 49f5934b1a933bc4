// What is shown, as the address has it, so that it can be shared and gone back to. A
// picture that was dropped is not in the address: an entry of the history names it.

export const counts = [12, 24, 48, 96, 240];
const usual = 24;

// read is the state of an address and an entry of the history.
export function read(location, entry) {
  const given = new URLSearchParams(location.search);
  const k = Number(given.get("k"));
  return {
    namespace: given.get("namespace") ?? "", // "" is the first that has items
    k: Number.isInteger(k) && k >= 1 && k <= 1000 ? k : usual,
    filter: given.get("filter") ?? "",
    id: given.get("id") ?? "",
    image: entry?.image ?? 0,
  };
}

// write is the address of a state, relative to the page.
export function write(state) {
  const given = new URLSearchParams();
  if (state.namespace) given.set("namespace", state.namespace);
  if (state.id) given.set("id", state.id);
  if (state.filter) given.set("filter", state.filter);
  if (state.k !== usual) given.set("k", state.k);
  return given.size ? `?${given}` : "./";
}
