package fleet

import (
	"context"
	"fmt"
	"io"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/observe"
	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
	"pg_manage/planner"
	"pg_manage/schema"
)

const few, many = 2, 50

// reach connects to the server of a node.
type reach func(ctx context.Context, n *schema.Node) (remote.Host, error)

func (r reach) Host(ctx context.Context, _ *schema.Cluster, n *schema.Node) (remote.Host, error) {
	return r(ctx, n)
}

// vacant declares clusters of two nodes without data, whose owner is the user of this process.
func vacant(b *testing.B, owner string, nodes int) *schema.Config {
	b.Helper()
	dir := b.TempDir()
	cfg := &schema.Config{}
	for i := range nodes / 2 {
		c := &schema.Cluster{Name: fmt.Sprintf("cluster%d", i), Version: 17}
		for j, role := range []schema.Role{schema.RolePrimary, schema.RoleStandby} {
			n := &schema.Node{
				Name: fmt.Sprintf("node%d", 2*i+j), Host: "127.0.0.1", Role: role, Port: 5432,
				DataDir:    filepath.Join(dir, fmt.Sprintf("data%d-%d", i, j)),
				Connection: schema.Connection{User: owner, Owner: owner},
			}
			c.Nodes = append(c.Nodes, n)
		}
		cfg.Clusters = append(cfg.Clusters, c)
	}
	return cfg
}

// options of a server that lets the user of this process in.
func options(s *remotetest.Server, n *schema.Node, owner string) remote.Options {
	o := s.Options(n.Name)
	o.User = owner
	return o
}

func me(b *testing.B) string {
	b.Helper()
	u, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	return u.Username
}

// plan does what the command plan does, from the connections on.
func plan(b *testing.B, cfg *schema.Config, d observe.Dialer) {
	seen := observe.Run(b.Context(), cfg, d, observe.Options{})
	p := planner.New(cfg, seen, planner.Options{Now: time.Now(), ToolVersion: "bench", Binaries: map[string]map[string]string{
		runtime.GOARCH: {"pg_manage": "0", "pg_manage-hook": "1"},
	}})
	for _, c := range cfg.Clusters {
		for _, n := range c.Nodes {
			if f := seen.Node(c.Name, n.Name); f.Unreachable != "" || f.Data.State != planner.DataAbsent {
				b.Fatalf("%s: %+v", n.Name, f)
			}
		}
	}
	if len(p.Clusters) != len(cfg.Clusters) {
		b.Fatal("clusters are missing in the plan")
	}
}

// overSSH gives a round of planning over new connections to servers, one for each node.
func overSSH(b *testing.B, opts ...remotetest.Option) func(nodes int) func() {
	owner := me(b)
	opts = append(opts, remotetest.WithUser(owner))
	var servers []*remotetest.Server
	for range many {
		servers = append(servers, remotetest.StartServer(b, opts...))
	}
	return func(nodes int) func() {
		cfg := vacant(b, owner, nodes)
		at := map[string]*remotetest.Server{}
		for _, c := range cfg.Clusters {
			for _, n := range c.Nodes {
				at[n.Name] = servers[len(at)]
			}
		}
		return func() {
			pool := remote.NewPool()
			plan(b, cfg, reach(func(ctx context.Context, n *schema.Node) (remote.Host, error) {
				return pool.Get(ctx, options(at[n.Name], n, owner))
			}))
			if err := pool.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// compare runs the rounds in turn, so that both see the same machine.
func compare(b *testing.B, round func(nodes int) func()) {
	two, fifty := round(few), round(many)
	two()
	fifty()
	var small, large []time.Duration
	var self, probes time.Duration
	for b.Loop() {
		for range 3 { // the small one is soon over
			small = append(small, timed(two))
		}
		s, p := used(syscall.RUSAGE_SELF), used(syscall.RUSAGE_CHILDREN)
		large = append(large, timed(fifty))
		self += used(syscall.RUSAGE_SELF) - s
		probes += used(syscall.RUSAGE_CHILDREN) - p
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op") // not shown: it is both together
	b.ReportMetric(ms(median(small)), "ms/2-nodes")
	b.ReportMetric(ms(median(large)), "ms/50-nodes")
	b.ReportMetric(float64(median(large))/float64(median(small)), "ratio")
	b.ReportMetric(ms(self/time.Duration(len(large))), "self-cpu-ms/50-nodes")
	b.ReportMetric(ms(probes/time.Duration(len(large))), "probes-cpu-ms/50-nodes")
}

func timed(do func()) time.Duration {
	begun := time.Now()
	do()
	return time.Since(begun)
}

func median(ds []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(ds))[len(ds)/2]
}

// used is the processor time of this process, or of the children that ended.
func used(who int) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkShells(b *testing.B) { compare(b, overSSH(b)) }

func BenchmarkHosts(b *testing.B) {
	r := record(b)
	b.Logf("a probe takes %s of processor time", r.took.Round(time.Millisecond))
	compare(b, overSSH(b, remotetest.WithExec(func(_ string, stdin io.Reader, stdout io.Writer) int {
		if _, err := io.Copy(io.Discard, stdin); err != nil {
			return 1
		}
		<-time.After(r.took)
		if _, err := stdout.Write(r.reply); err != nil {
			return 1
		}
		return 0
	})))
}

func BenchmarkLogins(b *testing.B) {
	owner := me(b)
	var servers []*remotetest.Server
	for range many {
		servers = append(servers, remotetest.StartServer(b, remotetest.WithUser(owner)))
	}
	compare(b, func(nodes int) func() {
		return func() {
			var all sync.WaitGroup
			for _, s := range servers[:nodes] {
				all.Go(func() {
					h, err := remote.Dial(b.Context(), s.Options("node"))
					if err != nil {
						b.Error(err)
						return
					}
					if err := h.Close(); err != nil {
						b.Error(err)
					}
				})
			}
			all.Wait()
		}
	})
}

func BenchmarkOurs(b *testing.B) {
	r := record(b)
	compare(b, func(nodes int) func() {
		cfg := vacant(b, me(b), nodes)
		return func() {
			plan(b, cfg, reach(func(_ context.Context, n *schema.Node) (remote.Host, error) {
				return &replay{name: n.Name, r: r}, nil
			}))
		}
	})
}
