package page

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestFilter(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.press("#filter", "Add a condition")
	v.is("document.activeElement.ariaLabel === 'Field'")
	v.is("[...document.querySelector('.condition .of').options].map((o) => o.value).join() === 'camera.make,label,year'")
	v.choose(".condition .of", "label")
	v.do(chromedp.SendKeys(chromedp.CSS(".condition .value"), "dusk\r"))
	v.says("12 images")
	if names := v.named("All images"); kinds(names) != "dusk" {
		t.Errorf("%v", names)
	}
	v.is("new URLSearchParams(location.search).get('filter') === '{\"label\":\"dusk\"}'")

	v.press("#filter", "Add a condition")
	v.choose(".condition:nth-child(2) .of", "year")
	v.choose(".condition:nth-child(2) .op", "lt")
	v.do(chromedp.SendKeys(chromedp.CSS(".condition:nth-child(2) .value"), "2019"))
	v.press("#filter", "Apply")
	v.says("4 images")

	v.drop(photo(t, scenes[0])) // the search keeps the filter
	if names := v.named("Nearest to my sea.jpg"); kinds(names) != "dusk" || len(names) != 4 {
		t.Errorf("%v", names)
	}
	v.press("#filter", "Remove condition 1")
	v.press("#filter", "Apply")
	v.says("The 20 nearest matching the filter")
	v.do(chromedp.NavigateBack())
	v.says("The 4 nearest matching the filter")
	v.is("document.querySelectorAll('.condition').length === 2")

	v.choose(".condition .value", "volcano")
	v.press("#filter", "Apply")
	v.says("No image matches the filter.")
	v.press("#blank", "Remove the filter")
	v.says("The 24 nearest of 60 images")
}

func TestFilterAsJSON(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.press("#filter", "JSON")
	v.is("document.activeElement.id === 'json'")
	v.do(chromedp.SendKeys(chromedp.CSS("#json"), `{"label": `))
	v.press("#filter", "Apply")
	v.is("document.querySelector('#wrong').textContent.startsWith('This is not a JSON object')")
	v.choose("#json", `{"label": {"$in": ["sea", "snow"]}, "year": {"$gte": 2025}}`)
	v.press("#filter", "Apply")
	v.says("4 images")
	v.press("#filter", "JSON")
	v.is("document.querySelectorAll('.condition').length === 2 && document.querySelector('.condition .value').value === 'sea, snow'")
	v.press("#filter", "JSON")
	v.choose("#json", `{"$or": [{"label": "sea"}]}`)
	v.press("#filter", "Apply")
	v.says("The server rejected this filter.") // the stub does not support it
	v.press("#filter", "JSON")
	v.is("document.querySelector('#wrong').textContent.includes('edit it as JSON') && document.querySelector('#json').checkVisibility()")
	v.press("#notice", "Remove the filter")
	v.says("24 of 60 images")
}

func TestOnlyThese(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	v.named("All images")
	v.press("#grid", "Details: forest/00.jpg")
	v.is("document.querySelector('#details-facts').textContent.includes('photos/forest/00.jpg')")
	v.is("document.querySelector('#details-facts').textContent.includes('SHA-256')")
	v.press("#details", "Only these: camera.make is Canon")
	v.says("24 of 30 images")
	v.is("!document.querySelector('#details').open")
	v.press("#grid", "Details: forest/00.jpg")
	v.press("#details", "Only these: label is forest")
	v.says("6 images")
	v.is("document.querySelector('#filtered-words').textContent === 'Only where camera.make is Canon and label is forest'")
}

// Conditions become filters and are restored unchanged.
func TestConditions(t *testing.T) {
	a := serve(t)
	v := visit(t, a.url())
	for _, c := range []struct{ conditions, filter string }{
		{`[]`, `null`},
		{`[{"field":"a","op":"eq","value":"x"}]`, `{"a":"x"}`},
		{`[{"field":"a","op":"eq","value":"7"}]`, `{"a":{"$in":[7,"7"]}}`},
		{`[{"field":"a","op":"eq","value":"\"7\""}]`, `{"a":"7"}`},
		{`[{"field":"a","op":"ne","value":"true"}]`, `{"a":{"$nin":[true,"true"]}}`},
		{`[{"field":"a","op":"gte","value":"2"},{"field":"a","op":"lt","value":"5"}]`, `{"a":{"$gte":2,"$lt":5}}`},
		{`[{"field":"a","op":"ne","value":"x"},{"field":"a","op":"ne","value":"y"}]`, `{"$and":[{"a":{"$ne":"x"}},{"a":{"$ne":"y"}}]}`},
		{`[{"field":"a","op":"in","value":"x, \"y, z\", 3"}]`, `{"a":{"$in":["x","y, z",3,"3"]}}`},
		{`[{"field":"a","op":"exists","value":""},{"field":"b.c","op":"missing","value":""}]`, `{"a":{"$exists":true},"b.c":{"$exists":false}}`},
	} {
		got := value[[]string](v, `import(new URL("page/filter.js", document.baseURI)).then(({ toFilter, fromFilter }) => {
			const filter = toFilter(%s);
			return [JSON.stringify(filter), JSON.stringify(filter ? fromFilter(filter) : [])];
		})`, c.conditions)
		if got[0] != c.filter || got[1] != c.conditions {
			t.Errorf("%s: filter %s, back as %s", c.conditions, got[0], got[1])
		}
	}
	for _, filter := range []string{`{"$or":[]}`, `{"a":null}`, `{"a":{"$regex":"x"}}`, `[]`, `{"a":{"$in":[{}]}}`} {
		if got := value[string](v, `import(new URL("page/filter.js", document.baseURI)).then(({ fromFilter }) => JSON.stringify(fromFilter(%s)))`, filter); got != "null" {
			t.Errorf("%s: conditions %s", filter, got)
		}
	}
}
