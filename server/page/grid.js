// The pictures that were found, as cards.

import { closeness, element, flat, shown } from "./format.js";
import { hang, thumbnail } from "./picture.js";

const tags = 3; // of the metadata; the rest is in the details
const soon = 200; // ms that an answer may take before skeletons stand for it

// Grid fills a list. like and open are called with the item of a card.
export class Grid {
  constructor(list, { like, open }) {
    Object.assign(this, { list, like, open });
    list.addEventListener("keydown", (event) => this.move(event));
  }

  // wait says that an answer is on its way, of about so many cards. When it takes its
  // time, skeletons stand for it, and slow is called.
  wait(count, slow) {
    clearTimeout(this.timer);
    this.list.setAttribute("aria-busy", "true");
    this.timer = setTimeout(() => {
      this.list.replaceChildren(...Array.from({ length: Math.min(count, 24) }, skeleton));
      slow();
    }, this.list.children.length ? soon : 0);
  }

  // fill shows items of a namespace, in place of others or after them.
  fill(items, namespace, after = false) {
    clearTimeout(this.timer);
    this.list.removeAttribute("aria-busy");
    const cards = items.map((item) => this.card(item, namespace));
    if (after) this.list.append(...cards);
    else this.list.replaceChildren(...cards);
    return cards;
  }

  card(item, namespace) {
    const card = element("li", "card");
    const mat = element("div", "mat");
    const img = element("img");
    Object.assign(img, { alt: item.id, loading: "lazy", decoding: "async", draggable: false });
    mat.append(img);
    const name = element("h3", "name", item.id);
    name.title = item.id;
    const facts = element("div");
    if (typeof item.score === "number") facts.append(score(item));
    facts.append(summary(item.metadata));
    const does = element("div", "does");
    does.append(action("like", "More like this", item, this.like), action("open", "Details", item, this.open));
    card.append(mat, name, facts, does);
    hang(img, thumbnail(item, namespace));
    return card;
  }

  // move goes from a button of a card to that of a neighbour.
  move(event) {
    const button = event.target.closest(".like, .open");
    if (!button || event.ctrlKey || event.altKey || event.metaKey) return;
    const cards = [...this.list.children];
    const at = cards.indexOf(button.closest(".card"));
    const columns = cards.findIndex((card) => card.offsetTop > cards[0].offsetTop);
    const down = columns < 0 ? cards.length : columns;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - down, ArrowDown: at + down, Home: 0, End: cards.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    cards[to]?.querySelector(button.classList.contains("like") ? ".like" : ".open").focus();
  }
}

function score(item) {
  const line = element("p", "score");
  const bar = element("span", "bar");
  bar.style.setProperty("--share", `${100 * Math.min(1, Math.max(0, item.score))}%`);
  line.append(element("b", "", item.score.toFixed(2)), bar, element("span", "close", closeness(item.percentile)));
  return line;
}

function summary(metadata) {
  const list = element("dl", "tags");
  for (const [field, value] of flat(metadata ?? {}).slice(0, tags)) {
    const pair = element("div");
    pair.append(element("dt", "", field), element("dd", "", shown(value)));
    pair.title = `${field}: ${shown(value)}`;
    list.append(pair);
  }
  return list;
}

function action(kind, words, item, act) {
  const button = element("button", `quiet ${kind}`, words);
  button.type = "button";
  button.setAttribute("aria-label", `${words}: ${item.id}`);
  button.addEventListener("click", () => act(item));
  return button;
}

function skeleton() {
  const card = element("li", "card skeleton");
  card.setAttribute("aria-hidden", "true");
  card.append(element("div", "mat"), element("div", "word"), element("div", "word half"));
  return card;
}
