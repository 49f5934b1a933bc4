// What opens above the page: the details of an item, and the question for the key.
// The browser keeps the focus inside, closes them by Escape, and puts it back.

import { address, itemPath, json, key } from "./api.js";
import { closeness, element, flat, shown } from "./format.js";
import { hang, thumbnail } from "./picture.js";
import { explain } from "./words.js";

const $ = (id) => document.getElementById(id);

// Details shows all that is known of an item. like is called with it, only with a
// field and a value to filter by.
export class Details {
  constructor({ like, only }) {
    Object.assign(this, { dialog: $("details"), like, only });
    $("details-close").addEventListener("click", () => this.dialog.close());
    $("details-like").addEventListener("click", () => {
      this.dialog.close();
      like(this.item);
    });
    closedOutside(this.dialog);
  }

  async open(item, namespace) {
    this.item = item;
    $("details-title").textContent = item.id;
    $("details-picture").alt = item.id;
    hang($("details-picture"), thumbnail(item, namespace));
    this.fill(item, namespace);
    this.dialog.showModal();
    this.dialog.scrollTop = 0;
    try {
      const known = await json(address(itemPath(item.id), { namespace }));
      if (this.item === item) this.fill({ ...item, ...known }, namespace);
    } catch (failure) {
      if (this.item === item) $("details-facts").append(fact("Note", explain(failure, { id: item.id }).sentence));
    }
  }

  fill(item, namespace) {
    const facts = [fact("Namespace", namespace)];
    if (typeof item.score === "number") facts.push(fact("Score", [item.score.toFixed(4), closeness(item.percentile)].filter(Boolean).join(" · ")));
    if (item.source) facts.push(fact("Source", item.source));
    if (item.sha256) facts.push(fact("SHA-256", item.sha256, "long"));
    $("details-facts").replaceChildren(...facts);
    const pairs = flat(item.metadata ?? {});
    $("metadata-title").hidden = pairs.length === 0;
    $("details-metadata").replaceChildren(...pairs.map(([field, value]) => this.pair(field, value)));
  }

  pair(field, value) {
    const pair = fact(field, shown(value));
    if (["string", "number", "boolean"].includes(typeof value)) {
      const button = element("button", "quiet", "Only these");
      button.type = "button";
      button.setAttribute("aria-label", `Only these: ${field} is ${shown(value)}`);
      button.addEventListener("click", () => {
        this.dialog.close();
        this.only(field, value);
      });
      const cell = element("dd", "only");
      cell.append(button);
      pair.append(cell);
    }
    return pair;
  }
}

function fact(name, value, kind = "") {
  const pair = element("div");
  pair.append(element("dt", "", name), element("dd", kind, value));
  return pair;
}

function closedOutside(dialog) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

// askForKey asks once for all that wait for a key.
let asking = null;

export function askForKey(refused) {
  asking ??= new Promise((answer) => {
    const dialog = $("key");
    const wrong = (words) => {
      $("key-wrong").textContent = words;
      $("key-value").toggleAttribute("aria-invalid", words !== "");
    };
    wrong(refused ? "The server rejected this key." : "");
    $("key-value").value = "";
    $("key-cancel").onclick = () => dialog.close();
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      const value = $("key-value").value.trim();
      if (!/^[!-~]+$/.test(value)) return wrong("A key consists of letters, digits and symbols, without spaces.");
      key.set(value);
      dialog.close("given");
    };
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      asking = null;
      answer(dialog.returnValue === "given");
    }, { once: true });
    dialog.showModal();
    $("key-value").focus();
  });
  return asking;
}
