package page

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused waits until the named element has the focus, and shows it.
func (v *tab) focused(name string) {
	v.t.Helper()
	v.is(`((e) => (e.ariaLabel ?? e.textContent).trim() === %q && (e.matches("h2") || [e, e.closest(".card")?.querySelector(".mat")].some((seen) => seen && (getComputedStyle(seen).outlineStyle !== "none" || getComputedStyle(seen).boxShadow !== "none"))))(document.activeElement)`, name)
}

// A complete search without a mouse.
func TestKeyboard(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	press := func(keys string) { v.do(chromedp.KeyEvent(keys)) }
	press(kb.Tab)
	v.focused("Skip to the results")
	press(kb.Enter)
	v.focused("All images")
	press(kb.Tab)
	v.focused("More like this: sea/00.jpg")
	press(kb.ArrowRight)
	v.focused("More like this: forest/00.jpg")
	press(kb.ArrowDown) // there are four per row
	v.focused("More like this: sea/01.jpg")
	press(kb.ArrowUp + kb.ArrowLeft)
	v.focused("More like this: sea/00.jpg")
	press(kb.ArrowLeft) // no effect at the edge
	v.focused("More like this: sea/00.jpg")
	press(kb.End)
	v.focused("More like this: dusk/04.jpg")
	press(kb.Enter)
	names := v.named("Nearest to dusk/04.jpg")
	v.focused("Nearest to dusk/04.jpg")
	press(kb.Tab + kb.Tab)
	v.focused("Details: " + names[0])
	press(" ")
	v.is("document.querySelector('#details').open")
	v.focused("Close")
	press(kb.Escape)
	v.is("!document.querySelector('#details').open")
	v.focused("Details: " + names[0])
	v.do(chromedp.Focus(chromedp.CSS("#add")))
	press(kb.Enter)
	v.focused("Field")
	press("y") // selects from the list
	v.is("document.activeElement.value === 'year'")
	press(kb.Tab + kb.Tab + kb.Tab)
	v.focused("Value")
	press("2015" + kb.Enter)
	v.says("The 5 nearest matching the filter")
	v.focused("Value") // the focus stays where it was
}

// Every control has an accessible name, and the page has its landmarks.
func TestAccessibilityTree(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.press("#filter", "Add a condition")
	v.is("document.querySelector('.card img:not(.absent)')?.checkVisibility()")
	seen := v.roles()
	for _, role := range []string{"banner", "main", "navigation", "region", "heading", "status", "list", "listitem", "image", "combobox", "button", "link", "form", "group"} {
		if !slices.Contains(seen, role) {
			t.Errorf("there is no %s among %v", role, seen)
		}
	}
	v.press("#grid", "Details: sea/00.jpg")
	v.is("document.querySelector('#details').open")
	if seen := v.roles(); !slices.Contains(seen, "dialog") {
		t.Errorf("there is no dialog among %v", seen)
	}
	v.is("[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size")
	v.is("[...document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls]')].every((e) => ['aria-labelledby', 'aria-describedby', 'aria-controls'].flatMap((a) => e.getAttribute(a)?.split(' ') ?? []).every((id) => document.getElementById(id)))")
}

// roles returns the roles in the accessibility tree, without duplicates. A control without a name
// is an error.
func (v *tab) roles() (seen []string) {
	v.t.Helper()
	tree, err := chromedp.Call(v.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		v.t.Fatal(err)
	}
	named := []string{"button", "link", "textbox", "combobox", "checkbox", "image", "heading", "region", "form", "dialog", "navigation", "listbox", "option", "searchbox", "group"}
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role, name := said(n.Role), said(n.Name)
		if slices.Contains(named, role) && name == "" {
			v.t.Errorf("a %s has no name", role)
		}
		if !slices.Contains(seen, role) {
			seen = append(seen, role)
		}
	}
	return seen
}

func said(v *accessibility.Value) (text string) {
	if v != nil {
		_ = json.Unmarshal(v.Value, &text)
	}
	return text
}

// paleText finds text whose contrast with its background is below 4.5. No text is on pictures.
const paleText = `(() => {
	const light = ([r, g, b]) => {
		const [x, y, z] = [r, g, b].map((c) => (c / 255 <= .04045 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4));
		return .2126 * x + .7152 * y + .0722 * z;
	};
	const parts = (color) => color.match(/[\d.]+/g).map(Number);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const color = parts(getComputedStyle(e).backgroundColor);
			if ((color[3] ?? 1) === 1) return color;
		}
		return [255, 255, 255];
	};
	return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility({ opacityProperty: true }) && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())).flatMap((e) => {
		const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		return ratio < 4.5 ? [e.tagName + " " + e.className + " " + e.textContent.slice(0, 20) + ": " + ratio.toFixed(2)] : [];
	});
})()`
