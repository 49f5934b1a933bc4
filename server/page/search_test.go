package page

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// photo is a file of a known scene that is not in the index.
func photo(t *testing.T, s scene) string {
	path := filepath.Join(t.TempDir(), "my "+s.name+".jpg")
	if err := os.WriteFile(path, encoded(t, s.paint(99, 300, 200)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// drop drags a file into the page and drops it.
func (v *tab) drop(path string) {
	v.t.Helper()
	drag := func(kind input.DispatchDragEventType) chromedp.Action[chromedp.Void] {
		return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: 800, Y: 500,
				Data: &input.DragData{Items: []*input.DragDataItem{}, Files: []string{path}, DragOperationsMask: 1}})
			return err
		})
	}
	v.do(drag(input.DispatchDragEventTypeDragEnter), drag(input.DispatchDragEventTypeDragOver))
	v.is("!document.querySelector('#veil').hidden")
	v.do(drag(input.DispatchDragEventTypeDrop))
	v.is("document.querySelector('#veil').hidden")
}

func TestBrowse(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	if names := v.named("All images"); len(names) != 24 || names[0] != "sea/00.jpg" {
		t.Errorf("%d cards, %v", len(names), names)
	}
	v.says("24 of 60 images")
	v.is("document.querySelector('#about').textContent === '63 images in 2 namespaces'")
	v.press("#results", "Show more")
	v.says("48 of 60 images")
	v.is("document.activeElement.ariaLabel === 'More like this: snow/04.jpg'") // the first new one
	v.press("#results", "Show more")
	v.says("60 images")
	v.is("document.querySelectorAll('.card').length === 60 && document.querySelector('#more').hidden")
	v.is("[...document.querySelectorAll('.card img')].slice(0, 12).every((img) => img.complete && img.naturalWidth > 0)")
	v.is("document.querySelector('.card img[alt=\"desert/00.jpg\"]').classList.contains('tiny')") // 32 pixels wide
	v.is("!document.querySelector('.card img[alt=\"sea/00.jpg\"]').classList.contains('tiny')")
}

// However a picture gets into the page, those of its scene are found first.
func TestSearchByImage(t *testing.T) {
	a := serve(t)
	for way, bring := range map[string]func(v *tab, path string){
		"drop":   (*tab).drop,
		"choose": func(v *tab, path string) { v.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path})) },
		"paste":  (*tab).paste,
	} {
		t.Run(way, func(t *testing.T) {
			v := visit(t, a.url())
			v.named("All images")
			for _, s := range []scene{scenes[1], scenes[3]} {
				path := photo(t, s)
				bring(v, path)
				names := v.named("Nearest to " + filepath.Base(path))
				if len(names) != 24 || kinds(names[:6]) != s.name {
					t.Errorf("%s: %v", s.name, names)
				}
				v.says("The 24 nearest of 60 images")
				v.is(`/^[01]\.\d\dcloser than \d+(\.\d+)? %% of pairs$/.test(document.querySelector('.card .score').textContent)`)
				v.is("document.querySelector('#asked-picture').naturalWidth === 300")
			}
			v.press("#query", "Show all")
			v.named("All images")
		})
	}
}

// paste dispatches a paste event with the file, which the page cannot tell from Ctrl+V.
func (v *tab) paste(path string) {
	v.t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	v.is(`((clipboardData) => {
		const bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
		clipboardData.items.add(new File([bytes], %q, { type: "image/jpeg" }));
		document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
		return true;
	})(new DataTransfer())`, base64.StdEncoding.EncodeToString(file), filepath.Base(path))
}

// From an item to its neighbours, on to theirs, and back.
func TestMoreLikeThis(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.do(chromedp.Click(chromedp.CSS(`.card:nth-child(4) .mat img`), chromedp.NodeVisible)) // the picture itself is clickable
	names := v.named("Nearest to dusk/00.jpg")
	if kinds(names[:8]) != "dusk" || strings.Contains(strings.Join(names, " "), "dusk/00.jpg") {
		t.Errorf("%v", names)
	}
	v.is("document.activeElement.id === 'results-title' && document.title === 'dusk/00.jpg · vicreg'")
	v.is("document.querySelector('#asked-picture').naturalWidth > 0")
	next := names[2]
	v.press("#grid", "More like this: "+next)
	v.named("Nearest to " + next)
	v.is("new URLSearchParams(location.search).get('id') === %q", next)

	v.do(chromedp.NavigateBack())
	if again := v.named("Nearest to dusk/00.jpg"); fmt.Sprint(again) != fmt.Sprint(names) {
		t.Errorf("%v, was %v", again, names)
	}
	v.do(chromedp.NavigateBack())
	v.named("All images")
	v.do(chromedp.NavigateForward())
	v.named("Nearest to dusk/00.jpg")

	v.is("(scrollTo(0, 700), scrollY === 700)") // the position to return to
	v.press("#grid", "More like this: "+names[7])
	v.named("Nearest to " + names[7])
	v.is("scrollY === 0")
	v.do(chromedp.NavigateBack())
	v.named("Nearest to dusk/00.jpg")
	v.is("scrollY === 700")
}

// Going back to a dropped picture works, although the URL does not contain it.
func TestBackToAnImage(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.drop(photo(t, scenes[2]))
	names := v.named("Nearest to my desert.jpg")
	v.press("#grid", "More like this: "+names[0])
	v.named("Nearest to " + names[0])
	v.do(chromedp.NavigateBack())
	if again := v.named("Nearest to my desert.jpg"); fmt.Sprint(again) != fmt.Sprint(names) {
		t.Errorf("%v, was %v", again, names)
	}
	v.is("document.querySelector('#asked-picture').naturalWidth === 300")
	v.choose("#count", "12")
	v.says("The 12 nearest of 60 images")
	v.do(chromedp.Reload())
	v.named("All images") // the picture is gone
}

// The URL determines what is shown, whoever opens it.
func TestSharedAddress(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url()+"?id=sea%2F03.jpg&k=5&filter="+url.QueryEscape(`{"label":"sea","year":{"$gte":2020}}`))
	names := v.named("Nearest to sea/03.jpg")
	if len(names) != 5 || kinds(names) != "sea" {
		t.Errorf("%v", names)
	}
	v.says("The 5 nearest matching the filter")
	v.is("document.querySelector('#filtered-words').textContent === 'Only where label is sea and year at least 2020'")
	v.is("document.querySelectorAll('.condition').length === 2 && document.querySelector('#count').value === '5'")
	v.press("#results", "Remove the filter")
	v.says("The 5 nearest of 60 images")
	v.is("location.search === '?id=sea%%2F03.jpg&k=5'")
}

func TestNamespaces(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.choose("#namespace", "odd")
	v.says("3 images")
	v.is("new URLSearchParams(location.search).get('namespace') === 'odd'")
	for _, name := range v.named("All images") { // each is shown verbatim and can be queried
		v.press("#grid", "Details: "+name)
		v.is("document.querySelector('#details').open && document.querySelector('#details-title').textContent === %q", name)
		v.is("document.querySelector('#details-metadata dt').textContent === '<b>field</b>' && !document.querySelector('#details b, #details script')")
		v.is("![...document.querySelectorAll('#details-facts dt')].some((dt) => dt.textContent === 'Note')")
		v.press("#details", "More like this")
		if near := v.named("Nearest to " + name); len(near) != 2 {
			t.Errorf("%s: %v", name, near)
		}
		v.press("#query", "Show all")
		v.named("All images")
	}
	v.is("document.title === 'vicreg: search by image'")
	v.is("(history.go(-7), true)") // back to the first entry
	v.says("24 of 60 images")
	v.is("document.querySelector('#namespace').value === 'default'")
	v.do(chromedp.NavigateForward())
	v.says("3 images")
	v.is("document.querySelector('#namespace').value === 'odd'")
	v.is("document.querySelectorAll('.mat.bare').length >= 1") // an item without a thumbnail
}
