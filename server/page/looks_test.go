package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// widths are those of a phone, a tablet, a laptop and a large screen.
var widths = []int64{390, 768, 1280, 1920}

// stops are the states of the page to check, in an order in which each can be reached from the
// last.
var stops = []struct {
	name string
	to   func(v *tab)
}{
	{"browse", func(v *tab) { v.named("All images") }},
	{"similar", func(v *tab) {
		v.press("#grid", "More like this: dusk/00.jpg")
		v.named("Nearest to dusk/00.jpg")
	}},
	{"filter", func(v *tab) {
		v.is("document.querySelector('#panel').checkVisibility() || (document.querySelector('#refine').click(), true)")
		v.press("#filter", "Add a condition")
		v.choose(".condition .of", "label")
		v.choose(".condition .value", "sea")
		v.press("#filter", "Apply")
		v.says("The 12 nearest matching the filter")
	}},
	{"json", func(v *tab) { v.press("#filter", "JSON") }},
	{"details", func(v *tab) {
		v.press("#grid", "Details: sea/01.jpg")
		v.is("document.querySelector('#details-facts').textContent.includes('SHA-256')")
	}},
	{"unknown", func(v *tab) {
		v.press("#details", "Close")
		v.is("(history.pushState({}, '', '?id=' + 'long'.repeat(60)), dispatchEvent(new PopStateEvent('popstate', { state: {} })))")
		v.says("There is no")
	}},
}

func dark(on bool) chromedp.Action[chromedp.Void] {
	scheme := map[bool]string{false: "light", true: "dark"}[on]
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	})
}

// In every state the page fits the window, touch targets are large enough, and text has enough
// contrast. VICREG_SCREENSHOTS names a directory for screenshots.
func TestLooks(t *testing.T) {
	a := serve(t)
	for _, width := range widths {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			v := visit(t, a.url())
			v.do(chromedp.EmulateViewport(width, 900))
			for _, stop := range stops {
				stop.to(v)
				v.looks(fmt.Sprintf("%s-%d", stop.name, width), width)
			}
		})
	}
}

// Error states fit the window too.
func TestLooksInTrouble(t *testing.T) {
	for _, width := range []int64{390, 1280} {
		a := serve(t)
		full := a.keep
		v := visit(t, a.url())
		v.do(chromedp.EmulateViewport(width, 900))
		for _, trouble := range troubles {
			v.named("All images")
			trouble.to(a, v)
			v.looks(fmt.Sprintf("%s-%d", trouble.name, width), width)
			a.set(func(a *api) { a.key, a.keep, a.hook = "", full, nil })
			v.do(chromedp.Navigate(a.url()))
		}
	}
}

var troubles = []struct {
	name string
	to   func(a *api, v *tab)
}{
	{"empty", func(a *api, v *tab) {
		a.set(func(a *api) { a.keep = nil })
		v.do(chromedp.Reload())
		v.says("Nothing is indexed yet.")
	}},
	{"other-model", func(a *api, v *tab) {
		a.fail("similar", 409, "conflict", "the index has vectors of model 3f9c1d0b5a7e4288, the server runs 6c0f9d24b1e35a70")
		v.press("#grid", "More like this: sea/00.jpg")
		v.says("The index was built with a different model")
	}},
	{"key", func(a *api, v *tab) {
		a.set(func(a *api) { a.key = "open-sesame" })
		v.do(chromedp.Reload())
		v.is("document.querySelector('#key').open")
	}},
	{"bare", func(a *api, v *tab) {
		a.set(func(a *api) { a.keep = map[string][]item{"default": {{ID: "vector 1"}, {ID: "vector 2"}}} })
		v.do(chromedp.Reload())
		v.says("2 images")
		v.is("document.querySelectorAll('.mat.bare').length === 2 && document.querySelector('#none').checkVisibility() === document.querySelector('#panel').checkVisibility()")
	}},
	{"veil", func(a *api, v *tab) {
		v.is("document.dispatchEvent(new DragEvent('dragenter', { dataTransfer: ((d) => (d.items.add(new File([], 'x')), d))(new DataTransfer()), cancelable: true })) === false")
		v.is("!document.querySelector('#veil').hidden")
	}},
	{"waiting", func(a *api, v *tab) {
		v.is("(window.fetch = () => new Promise(() => {}), true)")
		v.press("#grid", "More like this: sea/00.jpg")
		v.says("Searching …")
		v.is("document.querySelectorAll('.skeleton').length === 24")
	}},
}

// looks checks the page's appearance in light and dark mode.
func (v *tab) looks(name string, width int64) {
	v.t.Helper()
	v.is("document.documentElement.scrollWidth <= %d", width)
	if small := value[[]string](v, tooSmall); len(small) > 0 {
		v.t.Errorf("%s: too small to be touched: %v", name, small)
	}
	for _, on := range []bool{false, true} {
		v.do(dark(on))
		if pale := value[[]string](v, paleText); len(pale) > 0 {
			v.t.Errorf("%s, dark %v: %v", name, on, pale)
		}
		v.picture(fmt.Sprintf("%s-%s", name, map[bool]string{false: "light", true: "dark"}[on]))
	}
}

const tooSmall = `[...document.querySelectorAll("button, select, input, textarea, a")].filter((e) => e.checkVisibility() && e.id !== "skip").filter((e) => {
	const { width, height } = e.getBoundingClientRect();
	return width < 44 || height < 44;
}).map((e) => (e.id || e.ariaLabel || e.textContent) + " " + e.offsetWidth + "x" + e.offsetHeight)`

// picture takes a screenshot if VICREG_SCREENSHOTS is set.
func (v *tab) picture(name string) {
	v.t.Helper()
	folder := os.Getenv("VICREG_SCREENSHOTS")
	if folder == "" {
		return
	}
	v.is("[...document.querySelectorAll('img[src]')].every((img) => img.complete || img.getBoundingClientRect().top > innerHeight)")
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	file, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), file, 0o644)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}
