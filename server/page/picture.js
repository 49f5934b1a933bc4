// Puts pictures into their mats.

import { address, itemPath, key, send } from "./api.js";

const tiny = 96; // pixels; below, enlarging would blur all there is to see

// thumbnail is where that of an item is, null when it has none.
export function thumbnail(item, namespace) {
  if (item.thumbnail === null) return null;
  return item.thumbnail ? address(item.thumbnail) : address(`${itemPath(item.id)}/thumbnail`, { namespace });
}

// hang shows what is at url, a URL or null. A key is sent where there is one, which an
// image cannot do by itself: then it is fetched when it comes near the window.
export function hang(img, url) {
  const mat = img.parentElement;
  near.unobserve(img);
  mat.classList.remove("bare");
  img.classList.remove("tiny");
  img.classList.add("absent");
  img.onload = () => {
    img.classList.remove("absent");
    img.classList.toggle("tiny", Math.max(img.naturalWidth, img.naturalHeight) < tiny);
  };
  img.onerror = () => mat.classList.add("bare");
  if (!url) {
    img.removeAttribute("src");
    img.onerror();
  } else if (key.get() && url.protocol !== "blob:") {
    img.removeAttribute("src");
    wanted.set(img, url);
    near.observe(img);
  } else {
    img.src = url.href;
  }
}

const wanted = new WeakMap();

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    fetched(target, wanted.get(target));
  }
}, { rootMargin: "400px" });

async function fetched(img, url) {
  let held;
  const free = () => URL.revokeObjectURL(held);
  try {
    held = URL.createObjectURL(await (await send(url)).blob());
  } catch {
    if (wanted.get(img) === url) img.onerror();
    return;
  }
  if (wanted.get(img) !== url) return free(); // it shows another by now
  img.addEventListener("load", free, { once: true });
  img.addEventListener("error", free, { once: true });
  img.src = held;
}
