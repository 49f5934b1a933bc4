package ort

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Cores returns the number of cores this process may keep busy: those it may be scheduled on, or
// the whole cores of a container's CPU limit if those are fewer. It is at least 1. A limit of 2.5
// cores counts as 2, since the threads of one node wait for each other and the slowest would set
// the pace.
func Cores() int { return cores(os.DirFS("/"), runtime.NumCPU()) }

// Memory returns the number of bytes this process may use: the machine's, or a container's limit
// if that is less. It is 0 if unknown.
func Memory() int64 { return memory(os.DirFS("/")) }

func cores(root fs.FS, n int) int {
	limit := float64(n)
	// Cgroup version 2 keeps "quota period" in one file, version 1 in two.
	each(root, "", func(dir string) {
		if f := strings.Fields(read(root, path.Join(dir, "cpu.max"))); len(f) == 2 {
			limit = min(limit, quota(f[0], f[1], limit))
		}
	})
	each(root, "cpu", func(dir string) {
		q, p := read(root, path.Join(dir, "cpu.cfs_quota_us")), read(root, path.Join(dir, "cpu.cfs_period_us"))
		limit = min(limit, quota(q, p, limit))
	})
	return max(1, int(limit))
}

// quota returns how many cores a limit allows; none for "max", -1 or nonsense.
func quota(quota, period string, none float64) float64 {
	q, err1 := strconv.ParseFloat(strings.TrimSpace(quota), 64)
	p, err2 := strconv.ParseFloat(strings.TrimSpace(period), 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return none
	}
	return q / p
}

func memory(root fs.FS) int64 {
	total := int64(0)
	for line := range strings.Lines(read(root, "proc/meminfo")) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			total = kib << 10
		}
	}
	look := func(file string) {
		limit, err := strconv.ParseInt(strings.TrimSpace(read(root, file)), 10, 64)
		if err == nil && limit > 0 && (total == 0 || limit < total) {
			total = limit
		}
	}
	each(root, "", func(dir string) { look(path.Join(dir, "memory.max")) })
	each(root, "memory", func(dir string) { look(path.Join(dir, "memory.limit_in_bytes")) })
	return total
}

// each calls f with the folders of this process's cgroup and of all its ancestors, of the named
// version 1 controller or, for "", of version 2. A container sees its own cgroup at the root,
// whatever /proc says.
func each(root fs.FS, controller string, f func(dir string)) {
	s := bufio.NewScanner(strings.NewReader(read(root, "proc/self/cgroup")))
	group := "/"
	for s.Scan() {
		// hierarchy:controllers:path
		part := strings.SplitN(s.Text(), ":", 3)
		if len(part) != 3 {
			continue
		}
		for c := range strings.SplitSeq(part[1], ",") {
			if c == controller {
				group = path.Clean("/" + part[2])
			}
		}
	}
	for ; ; group = path.Dir(group) {
		f(path.Join("sys/fs/cgroup", controller, group))
		if group == "/" {
			return
		}
	}
}

// read returns a file's content, empty if it cannot be read.
func read(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}
