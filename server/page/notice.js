// Where sentences go, and buttons that help.

import { element } from "./format.js";

const $ = (id) => document.getElementById(id);

// say puts a sentence where it is read out.
export function say(sentence, { detail = "", actions = [], alarm = false } = {}) {
  $("notice").classList.toggle("alarm", alarm);
  $("status").textContent = sentence;
  $("detail").textContent = detail;
  $("detail").hidden = !detail;
  $("actions").replaceChildren(...actions);
}

// blank fills the place of pictures where there are none.
export function blank(words, code, action) {
  $("blank").replaceChildren(element("p", "", words), ...(code ? [element("code", "", code)] : []), action);
}

export function button(words, act) {
  const made = element("button", "button", words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}
