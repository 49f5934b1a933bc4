package page

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestEmptyIndex(t *testing.T) {
	a := serve(t)
	full := a.keep
	a.set(func(a *api) { a.keep = nil })
	v := visit(t, a.url())
	v.says("Nothing is indexed yet.")
	v.is("document.querySelector('#blank code').textContent === %q", "vicreg index add DIR --server "+a.url())
	a.set(func(a *api) { a.keep = full })
	v.press("#blank", "Reload")
	v.named("All images")
	v.says("24 of 60 images")
	v.is("document.querySelector('#blank').hidden")
}

// Each refusal of the server is shown as a sentence, with a way to go on.
func TestRefusals(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	for _, c := range []struct {
		path, kind, detail, sentence, button string
		status                               int
	}{
		{"namespaces", "no-index", "the server has no index: start it with --index FILE", "This server has no index to search.", "Try again", 404},
		{"similar", "conflict", "the index has vectors of model a, the server runs b", "The index was built with a different model than the server runs, so images cannot be compared.", "Try again", 409},
		{"similar", "unknown-item", "there is no item", "There is no “sea/00.jpg” in this namespace.", "Show all images", 404},
		{"similar", "unavailable", "the model is being loaded", "The server is not ready yet.", "Try again", 503},
		{"similar", "internal", "see the server's log", "The server answered with error 500.", "Try again", 500},
	} {
		a.fail(c.path, c.status, c.kind, c.detail)
		v.do(chromedp.Navigate(a.url() + "?id=sea/00.jpg"))
		v.says(c.sentence)
		v.is("document.querySelector('.notice.alarm #status').ariaLive === 'polite' && document.querySelectorAll('.card').length === 0")
		a.set(func(a *api) { a.hook = nil })
		v.press("#notice", c.button)
		v.is("!document.querySelector('.notice.alarm') && document.querySelectorAll('.card:not(.skeleton)').length === 24")
		want := "Nearest to sea/00.jpg"
		if c.button != "Try again" {
			want = "All images"
		}
		v.named(want)
	}
}

// After a 429 the page repeats the request by itself once Retry-After has passed, if that is short.
func TestBusy(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	refused := 0
	a.set(func(a *api) {
		a.hook = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "similar") || refused > 0 {
				return false
			}
			refused++
			w.Header().Set("Retry-After", "1")
			refuse(w, 429, "busy", "the queue is full")
			return true
		}
	})
	v.press("#grid", "More like this: sea/00.jpg")
	v.says("The server is busy; try again in a second.")
	v.says("The 24 nearest of 60 images")
	a.fail("similar", 429, "busy", "the queue is full", "Retry-After", "50")
	v.press("#grid", "More like this: sea/01.jpg")
	v.says("The server is busy; try again in 50 seconds.")
	a.set(func(a *api) { a.hook = nil })
	v.press("#notice", "Try again")
	v.named("Nearest to sea/01.jpg")
}

func TestKey(t *testing.T) {
	a := serve(t)
	a.set(func(a *api) { a.key = "open-sesame" })
	v := visit(t, a.url())
	v.is("document.querySelector('#key').open && document.activeElement.id === 'key-value'")
	v.press("#key", "Cancel")
	v.says("This server requires an API key.")
	v.press("#notice", "Enter the key")
	v.is("document.querySelector('#key').open")
	v.do(chromedp.KeyEvent("open barley\r"))
	v.is("document.querySelector('#key-wrong').textContent.includes('without spaces')")
	v.choose("#key-value", "open-barley")
	v.press("#key", "Continue")
	v.is("document.querySelector('#key').open && document.querySelector('#key-wrong').textContent === 'The server rejected this key.'")
	v.choose("#key-value", "open-sesame")
	v.press("#key", "Continue")
	v.named("All images")
	v.is("[...document.querySelectorAll('.card img')].slice(0, 6).every((img) => img.src.startsWith('blob:') && img.naturalWidth > 0)")
	v.is("sessionStorage.length === 1 && localStorage.length === 0 && document.cookie === ''")
	v.press("#grid", "More like this: snow/00.jpg")
	v.named("Nearest to snow/00.jpg")
	v.is("document.querySelector('#asked-picture').naturalWidth > 0")
	v.do(chromedp.Reload()) // the key survives a reload
	v.named("Nearest to snow/00.jpg")
	v.is("!document.querySelector('#key').open")
}

func TestNoImage(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	path := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(path, []byte("Dear reader"), 0o644); err != nil {
		t.Fatal(err)
	}
	v.drop(path)
	v.says("This file is not an image that the server can read.")
	v.is("document.querySelector('#detail').textContent.startsWith('not a JPEG')")
	v.press("#notice", "Show all images")
	v.named("All images")
	v.is("document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer(), bubbles: true }))")
	v.says("There is no image in the clipboard.")
}

func TestServerGone(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	addr := a.web.Listener.Addr().String()
	a.web.Close()
	v.press("#grid", "More like this: sea/00.jpg")
	v.says("The server cannot be reached.")
	v.press("#notice", "Try again")
	v.says("The server cannot be reached.")
	a.listen(addr)
	v.press("#notice", "Try again")
	v.named("Nearest to sea/00.jpg")
	v.says("The 24 nearest of 60 images")
}
