package pipeline

import (
	"runtime/debug"
	"testing"
)

func TestBuilt(t *testing.T) {
	set := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, c := range []struct {
		info              *debug.BuildInfo
		version, revision string
	}{
		{nil, "(devel)", "unknown"},
		{&debug.BuildInfo{}, "(devel)", "unknown"},
		{&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"},
			Settings: []debug.BuildSetting{set("vcs.revision", "abc"), set("vcs.modified", "false")}}, "v1.2.3", "abc"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{set("vcs.modified", "true"), set("vcs.revision", "abc")}},
			"(devel)", "abc (modified)"},
	} {
		if v, r := built(c.info, c.info != nil); v != c.version || r != c.revision {
			t.Errorf("got %q %q, want %q %q", v, r, c.version, c.revision)
		}
	}
}
