package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"vicreg/server/servertest"
)

// exposed returns the types and the labels of all of the server's own metrics, with every feature
// enabled.
func exposed(t *testing.T) (types map[string]string, labels map[string][]string) {
	t.Helper()
	s := start(t, nil)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1)
	c, err := newCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.metrics.expires(c.get)
	ask(s, "GET", "/nothing", nil)
	if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	types, labels = map[string]string{}, map[string][]string{}
	label := regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(ask(s, "GET", "/metrics", nil).Body.String()) {
		if f := strings.Fields(line); f[0] == "#" && f[1] == "TYPE" && strings.HasPrefix(f[2], "vicreg_") {
			types[f[2]] = f[3]
		}
		if !strings.HasPrefix(line, "vicreg_") {
			continue
		}
		name := metricOf(types, line[:strings.IndexAny(line, "{ ")])
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			if m[1] != "le" && !slices.Contains(labels[name], m[1]) {
				labels[name] = append(labels[name], m[1])
			}
		}
	}
	return types, labels
}

// metricOf is the metric that a series belongs to: a histogram has several series.
func metricOf(types map[string]string, series string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, cut := strings.CutSuffix(series, suffix); cut && types[name] == "histogram" {
			return name
		}
	}
	return series
}

// metricRow formats a metric, for comparing the documented table with the server.
func metricRow(name, kind string, labels []string) string {
	slices.Sort(labels)
	return fmt.Sprintf("%s, a %s by %q", name, kind, labels)
}

const deploying = "../scripts/deploy/"

// The operators' table lists exactly the metrics that exist, with their types and labels.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(deploying + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	types, labels := exposed(t)
	var there, documented []string
	for name, kind := range types {
		there = append(there, metricRow(name, kind, labels[name]))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(vicreg_\\w+)` \\| (\\w+) \\|([^|]*)\\| .+ \\|$").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, metricRow(m[1], m[2], strings.Fields(strings.ReplaceAll(m[3], "`", ""))))
	}
	slices.Sort(there)
	if !slices.Equal(there, documented) { // the table must be sorted too
		t.Errorf("the server has\n%s\nand README.md\n%s", strings.Join(there, "\n"), strings.Join(documented, "\n"))
	}
}

// rule is an alerting rule.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// Alerts refer only to existing metrics, labels and label values, and the runbook has an entry for
// each.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile(deploying + "alerts.yaml")
	runbook, missing := os.ReadFile(deploying + "README.md")
	if err = errors.Join(err, missing); err != nil {
		t.Fatal(err)
	}
	rules := rulesOf(t, text)
	if len(rules) < 10 {
		t.Fatalf("%d rules", len(rules))
	}
	types, labels := exposed(t)
	for _, r := range rules {
		for _, fault := range alertFaults(r, types, labels) {
			t.Errorf("%s: %s", r.Alert, fault)
		}
		if !strings.Contains(string(runbook), "\n- **"+r.Alert+".** ") {
			t.Errorf("%s: the runbook has nothing about it", r.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^- \*\*(Vicreg\w+)\.\*\*`).FindAllStringSubmatch(string(runbook), -1) {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.Alert == m[1] }) {
			t.Errorf("the runbook has %s, which is no alert", m[1])
		}
	}
}

func rulesOf(t *testing.T, text []byte) (rules []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

var (
	seriesIn  = regexp.MustCompile(`\b(vicreg_\w+)(\{[^}]*\})?`)
	matcherIn = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
)

// alertFaults lists the faults of a rule, without parsing its expression.
func alertFaults(r rule, types map[string]string, labels map[string][]string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if s := r.Labels["severity"]; s != "page" && s != "ticket" {
		fault("severity %q", s)
	}
	if r.Annotations["summary"] == "" {
		fault("no summary")
	}
	for _, m := range seriesIn.FindAllStringSubmatch(r.Expr, -1) {
		name := metricOf(types, m[1])
		if types[name] == "" {
			fault("there is no %s", m[1])
			continue
		}
		if (types[name] == "histogram") != (name != m[1]) {
			fault("%s is no series", m[1])
		}
		for _, by := range matcherIn.FindAllStringSubmatch(m[2], -1) {
			if by[1] != "job" && !slices.Contains(labels[name], by[1]) {
				fault("%s has no label %s", name, by[1])
			}
		}
		if types[name] == "counter" && !strings.Contains(r.Expr, "rate(") && !strings.Contains(r.Expr, "increase(") {
			fault("%s only ever grows", name)
		}
	}
	return faults
}

// The check can fail: each requirement is violated once.
func TestAlertFaults(t *testing.T) {
	types := map[string]string{"vicreg_a_total": "counter", "vicreg_b_seconds": "histogram", "vicreg_c": "gauge"}
	labels := map[string][]string{"vicreg_c": {"state"}}
	good := rule{Alert: "A", Expr: `vicreg_c{state="stale",job="x"} == 1`, Labels: map[string]string{"severity": "page"}, Annotations: map[string]string{"summary": "x"}}
	if got := alertFaults(good, types, labels); got != nil {
		t.Errorf("%q", got)
	}
	for expr, want := range map[string]string{
		"vicreg_d > 0": "there is no vicreg_d", "vicreg_a_total > 0": "vicreg_a_total only ever grows", "vicreg_b_seconds > 1": "vicreg_b_seconds is no series",
		"vicreg_c_count > 1": "there is no vicreg_c_count", `vicreg_c{status="stale"} == 1`: "vicreg_c has no label status",
	} {
		r := good
		if r.Expr = expr; !slices.Equal(alertFaults(r, types, labels), []string{want}) {
			t.Errorf("%s: %q, want %q", expr, alertFaults(r, types, labels), want)
		}
	}
	if got := alertFaults(rule{}, types, labels); !slices.Equal(got, []string{`severity ""`, "no summary"}) {
		t.Errorf("%q", got)
	}
}
