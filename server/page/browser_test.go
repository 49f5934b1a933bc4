package page

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is the Chromium that all tests share, started by the first that needs it.
var browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

// chromium is the path of the browser, "" if there is none.
func chromium() string {
	for _, name := range []string{os.Getenv("VICREG_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

func startBrowser(path string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox does not work as root
	}
	all, stopAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(all)
	browser.ctx, browser.stop = ctx, func() { stop(); stopAll() }
	browser.err = chromedp.Do(ctx)
}

// patience is the timeout of any wait. It is generous and no measure of the page's speed.
const patience = 60 * time.Second

// tab is a page in a separate browser context, so tests share no storage.
type tab struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	bad []string // console messages that count as failures
}

// visit opens a URL. The test fails if the console has logged anything by its end.
func visit(t *testing.T, url string) *tab {
	t.Helper()
	path := chromium()
	if path == "" {
		if os.Getenv("VICREG_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("there is no chromium")
		}
		t.Skip("there is no chromium: install it, or name it in VICREG_CHROMIUM")
	}
	browser.once.Do(func() { startBrowser(path) })
	if browser.err != nil {
		t.Fatalf("start %s: %v", path, browser.err)
	}
	ctx, stop := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	v := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		stop()
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, b := range v.bad {
			t.Errorf("the console says: %s", b)
		}
	})
	if err := chromedp.Listen(ctx, v.hear); err != nil { // the tab lives as long as this context
		t.Fatal(err)
	}
	v.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return v
}

// hear collects console messages, which include violations of the Content-Security-Policy. Chromium
// also logs error answers, as source "network"; they are ignored, because some tests provoke them.
func (v *tab) hear(event any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork {
			v.bad = append(v.bad, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	case *runtime.EventExceptionThrown:
		v.bad = append(v.bad, fmt.Sprintf("%s at %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber))
	case *runtime.EventConsoleAPICalled:
		v.bad = append(v.bad, fmt.Sprintf("console.%s", e.Type))
	}
}

// do runs actions in the page.
func (v *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.t.Fatal(err)
	}
}

// value evaluates an expression in the page.
func value[T any](v *tab, format string, args ...any) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	expression := fmt.Sprintf(format, args...)
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%s: %v", expression, err)
	}
	return out
}

// is waits until an expression is true in the page.
func (v *tab) is(format string, args ...any) {
	v.t.Helper()
	condition := fmt.Sprintf(format, args...)
	if !value[bool](v, `new Promise((done) => {
		const end = Date.now() + %d;
		const look = () => (%s) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 10);
		look();
	})`, patience.Milliseconds()/2, condition) {
		v.t.Fatalf("it never came to %s\nthe page says %q, under %q", condition, v.text("#status"), v.text("#results-title"))
	}
}

// text is the text of an element.
func (v *tab) text(selector string) string {
	v.t.Helper()
	return value[string](v, "document.querySelector(%q)?.textContent ?? ''", selector)
}

// says waits until the live region contains a sentence.
func (v *tab) says(sentence string) {
	v.t.Helper()
	v.is("document.querySelector('#status').textContent.includes(%q)", sentence)
}

// named waits for the results under a heading, and returns the ids on the cards, in order.
func (v *tab) named(heading string) []string {
	v.t.Helper()
	v.is("document.querySelector('#results-title').textContent === %q && document.querySelector('#status').textContent && !document.querySelector('#grid').ariaBusy", heading)
	return value[[]string](v, "[...document.querySelectorAll('.card .name')].map((name) => name.textContent)")
}

// press clicks the visible button with this name within a part of the page, as soon as it exists.
func (v *tab) press(within, name string) {
	v.t.Helper()
	v.is(`((button) => button && (button.click(), true))([...document.querySelectorAll(%q)].find((b) => (b.ariaLabel ?? b.textContent) === %q && b.checkVisibility()))`, within+" button", name)
}

// choose sets a select or an input and fires the event, as a user would.
func (v *tab) choose(selector, to string) {
	v.t.Helper()
	v.is(`((control) => { control.value = %q; control.dispatchEvent(new Event("change", { bubbles: true })); return control.value === %q })(document.querySelector(%q))`, to, to, selector)
}

// kinds lists the scenes of the cards, without duplicates, in order.
func kinds(names []string) string {
	var all []string
	seen := map[string]bool{}
	for _, n := range names {
		if kind, _, _ := strings.Cut(n, "/"); !seen[kind] {
			seen[kind], all = true, append(all, kind)
		}
	}
	return strings.Join(all, " ")
}
