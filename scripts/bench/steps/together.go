package steps

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/scripts/bench/peer"
)

// Together is vicreg's step by several processes on this machine, joined over MPI through a bridge
// library: they share the batch and the threads of the setup.
func Together(name string, s Setup, processes int, bridge string) Side {
	return Side{name, func() (*peer.Process, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "together")
		if err != nil {
			return nil, err
		}
		s.Collectives, s.Socket, s.Threads = bridge, filepath.Join(dir, "commands"), max(s.Threads/processes, 1)
		setup, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		return peer.Start(name, nil, "mpirun", "-n", fmt.Sprint(processes), "--oversubscribe", "--bind-to", "none",
			self, "-serve", string(setup))
	}}
}

// join joins the group of a setup, if it has one. The caller must call leave on the same thread.
func (s *Setup) join() (joined *ort.Group, leave func(), err error) {
	if s.Collectives == "" {
		return nil, func() {}, nil
	}
	runtime.LockOSThread()
	if joined, err = ort.JoinGroup(s.Collectives); err != nil {
		return nil, nil, err
	}
	s.group = graph.Group{Rank: joined.Rank(), Size: joined.Size()}
	return joined, joined.Close, nil
}

// told returns a process's stream of commands: in, which the first process relays to the others as
// it reads it. Relaying over MPI would make the waiting processes spin on the threads of the side
// whose turn it is.
func (s Setup) told(joined *ort.Group, in io.Reader) (io.Reader, error) {
	if joined == nil {
		return in, nil
	}
	listener, err := net.Listener(nil), error(nil)
	if s.group.Rank == 0 {
		defer os.RemoveAll(filepath.Dir(s.Socket)) // once all have connected
		if listener, err = net.Listen("unix", s.Socket); err != nil {
			return nil, err
		}
		defer listener.Close()
	}
	if _, err := joined.AllGather([]float32{0}); err != nil { // waits until the first one listens
		return nil, err
	}
	if s.group.Rank > 0 {
		return net.Dial("unix", s.Socket)
	}
	for range s.group.Size - 1 {
		other, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		in = relay{in, other}
	}
	return in, nil
}

// relay copies what it reads to another process, and passes on the end.
type relay struct {
	io.Reader
	other net.Conn
}

func (r relay) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if _, failed := r.other.Write(b[:n]); failed != nil {
		return 0, failed
	}
	if err != nil {
		r.other.Close()
	}
	return n, err
}

// exchanged adds to the answer what a process exchanged per step in n steps: the number of
// exchanges, the bytes sent and the time. The minimum time over all processes is the cost without
// waiting for the others.
func exchanged(answer map[string]any, n int, joined *ort.Group) error {
	e := ort.Exchanges()
	ms := e.Time.Seconds() * 1000 / float64(n)
	all, err := joined.AllGather([]float32{float32(ms)})
	if err != nil {
		return err
	}
	answer["exchange_ms"], answer["least_exchange_ms"] = ms, slices.Min(all)
	answer["exchanges"], answer["exchanged_bytes"] = e.Count/n, e.Bytes/int64(n)
	return nil
}
