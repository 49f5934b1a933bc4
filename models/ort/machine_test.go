package ort

import (
	"testing"
	"testing/fstest"
)

func files(kv ...string) fstest.MapFS {
	fs := fstest.MapFS{}
	for i := 0; i < len(kv); i += 2 {
		fs[kv[i]] = &fstest.MapFile{Data: []byte(kv[i+1])}
	}
	return fs
}

func TestCores(t *testing.T) {
	const v2, v1 = "sys/fs/cgroup/", "sys/fs/cgroup/cpu/"
	for _, c := range []struct {
		what  string
		files fstest.MapFS
		n     int
		want  int
	}{
		{"nothing to read", files(), 8, 8},
		{"no cores", files(), 0, 1},
		{"version 2, no limit", files(v2+"cpu.max", "max 100000\n"), 8, 8},
		{"version 2 in a container", files(v2+"cpu.max", "350000 100000\n"), 8, 3},
		{"version 2, less than a core", files(v2+"cpu.max", "50000 100000\n"), 8, 1},
		{"version 2, more than there is", files(v2+"cpu.max", "900000 100000\n"), 4, 4},
		{"version 2, own group", files("proc/self/cgroup", "0::/a/b\n", v2+"a/b/cpu.max", "200000 100000\n"), 8, 2},
		{"version 2, group around", files("proc/self/cgroup", "0::/a/b\n", v2+"a/cpu.max", "200000 100000\n", v2+"a/b/cpu.max", "max 100000"), 8, 2},
		{"version 2, not this group", files("proc/self/cgroup", "0::/a\n", v2+"b/cpu.max", "200000 100000\n"), 8, 8},
		{"version 1, no limit", files(v1+"cpu.cfs_quota_us", "-1\n", v1+"cpu.cfs_period_us", "100000\n"), 8, 8},
		{"version 1 in a container", files("proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n",
			v1+"cpu.cfs_quota_us", "200000\n", v1+"cpu.cfs_period_us", "100000\n"), 8, 2},
		{"version 1, own group", files("proc/self/cgroup", "9:memory:/y\n4:cpu,cpuacct:/x\n",
			v1+"x/cpu.cfs_quota_us", "250000\n", v1+"x/cpu.cfs_period_us", "50000\n"), 8, 5},
		{"nonsense", files(v2+"cpu.max", "0 0 0", v1+"cpu.cfs_quota_us", "x", "proc/self/cgroup", "::\n"), 8, 8},
	} {
		if got := cores(c.files, c.n); got != c.want {
			t.Errorf("%s: %d cores, want %d", c.what, got, c.want)
		}
	}
}

func TestMemory(t *testing.T) {
	const info = "MemTotal:        8 kB\nMemFree:         1 kB\n"
	for _, c := range []struct {
		what  string
		files fstest.MapFS
		want  int64
	}{
		{"nothing to read", files(), 0},
		{"the machine's", files("proc/meminfo", info), 8192},
		{"no limit", files("proc/meminfo", info, "sys/fs/cgroup/memory.max", "max\n"), 8192},
		{"version 2", files("proc/meminfo", info, "sys/fs/cgroup/memory.max", "4096\n"), 4096},
		{"version 1", files("proc/meminfo", info, "proc/self/cgroup", "3:memory:/a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2048\n"), 2048},
	} {
		if got := memory(c.files); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.what, got, c.want)
		}
	}
}
