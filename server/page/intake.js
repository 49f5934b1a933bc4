// Takes image files: dropped anywhere, pasted, or chosen.

// take calls found with a File, and missed with a sentence when what came is none.
export function take({ choose, input, veil, found, missed }) {
  choose.forEach((button) => button.addEventListener("click", () => input.click()));
  input.addEventListener("change", () => {
    const file = input.files[0];
    input.value = ""; // so that the same file can be chosen again
    if (file) found(file);
  });
  drop({ veil, found, missed });
  document.addEventListener("paste", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const file = first(event.clipboardData);
    if (file) {
      event.preventDefault();
      found(file);
    } else if (!event.target.closest?.("input, textarea")) {
      missed("There is no image in the clipboard.");
    }
  });
}

function drop({ veil, found, missed }) {
  const brings = (event) => event.dataTransfer?.types.includes("Files") || event.dataTransfer?.types.includes("text/uri-list");
  const over = (event) => {
    if (!brings(event) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  };
  document.addEventListener("dragenter", over);
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => { veil.hidden = event.relatedTarget === null || veil.hidden; });
  document.addEventListener("keydown", (event) => { veil.hidden = event.key === "Escape" || veil.hidden; });
  document.addEventListener("drop", (event) => {
    if (!brings(event)) return;
    event.preventDefault(); // else the browser leaves the page for the file
    if (veil.hidden) return;
    veil.hidden = true;
    const file = first(event.dataTransfer);
    if (file) found(file);
    else missed("That is a link, not a file: save the image first, then drop the file.");
  });
}

// first is the first image among files, or else the first file: the server tells.
function first(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0];
}
