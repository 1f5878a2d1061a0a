package executor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/node"
	"pg_manage/executor/observe"
	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
	"pg_manage/planner"
	"pg_manage/schema"
)

// world is a machine with real PostgreSQL servers, driven through a local host.
type world struct {
	t     *testing.T
	dir   string
	name  string // of the cluster, unique on the machine
	major int
	ports map[string]int
	host  remote.Host
	cfg   *schema.Config
	log   *eventLog

	debian   bool              // the nodes' data lies where Debian's packages put it, and the configuration too
	binaries map[string]string // our programs, by the name that they get
	restore  *planner.RestoreRequest
}

// newWorld makes a world that shares nothing with another, so the tests run side by side: they wait more than they compute.
func newWorld(t *testing.T, nodes ...string) *world {
	t.Helper()
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "pgx") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, name: "test" + filepath.Base(dir), ports: map[string]int{}, host: remote.NewLocal("here"), log: &eventLog{}}
	w.major = newestMajor(t)
	w.own(dir)
	for _, n := range nodes {
		w.ports[n] = remotetest.FreePort(t)
	}
	t.Cleanup(func() {
		for n := range w.ports {
			pid, err := os.ReadFile(filepath.Join(w.data(n), "postmaster.pid"))
			if err == nil {
				w.asOwner(w.program("pg_ctl"), "-D", w.data(n), "-m", "immediate", "-w", "stop")
				t.Logf("stopped the server of %s, pid %s", n, strings.SplitN(string(pid), "\n", 2)[0])
			}
		}
		w.host.Close()
		for n := range w.ports {
			if w.debian {
				os.RemoveAll(w.data(n))
				os.RemoveAll(fmt.Sprintf("/etc/postgresql/%d/%s_%s", w.major, w.name, n))
				os.Remove(fmt.Sprintf("/var/log/postgresql/postgresql-%d-%s_%s.log", w.major, w.name, n))
			}
		}
		os.RemoveAll(dir)
		os.RemoveAll(w.home() + "/.pg_manage/" + w.name)
	})
	return w
}

func newestMajor(t *testing.T) int {
	for v := 30; v >= 13; v-- {
		if _, err := os.Stat(fmt.Sprintf("/usr/lib/postgresql/%d/bin/postgres", v)); err == nil {
			return v
		}
	}
	t.Fatal("no PostgreSQL server is installed on this machine")
	return 0
}

// owner is the user that servers run as: PostgreSQL refuses to run as root.
func owner(t testing.TB) *user.User {
	u, err := user.Current()
	if err == nil && u.Username == "root" {
		u, err = user.Lookup("postgres")
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (w *world) home() string { return owner(w.t).HomeDir }

func (w *world) data(node string) string {
	if w.debian {
		return fmt.Sprintf("/var/lib/postgresql/%d/%s_%s", w.major, w.name, node)
	}
	return filepath.Join(w.dir, node, "data")
}

func (w *world) state(node string) string {
	return filepath.Join(w.home(), ".pg_manage", w.name, node)
}

func (w *world) program(name string) string {
	return fmt.Sprintf("/usr/lib/postgresql/%d/bin/%s", w.major, name)
}

func (w *world) own(path string) {
	w.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	u := owner(w.t)
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Lchown(path, uid, gid); err != nil {
		w.t.Fatal(err)
	}
}

// asOwner runs a program as the owner and gives its output.
func (w *world) asOwner(args ...string) string {
	w.t.Helper()
	if os.Getuid() == 0 {
		args = append([]string{"runuser", "-u", owner(w.t).Username, "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) sql(node, query string) string {
	w.t.Helper()
	return w.asOwner(w.program("psql"), "-XAtq", "-h", w.dir, "-p", strconv.Itoa(w.ports[node]), "-d", "postgres", "-c", query)
}

// declare reads a cluster file with the nodes of the world; extra stands in the cluster block.
func (w *world) declare(extra string, nodes ...string) {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q {\nversion = %d\nparameters = { unix_socket_directories = %q, shared_buffers = \"8MB\", fsync = \"off\", listen_addresses = \"127.0.0.1\" }\n", w.name, w.major, w.dir)
	b.WriteString("connection {\ntype = \"local\"\nowner = \"" + owner(w.t).Username + "\"\n}\n")
	b.WriteString("replication {\nuser = \"replicator\"\npassword = \"it's a \\\\ secret\"\n}\n" + extra + "\n")
	for i, n := range nodes {
		role := "standby"
		if i == 0 {
			role = "primary"
		}
		fmt.Fprintf(&b, "node %q {\naddress = \"127.0.0.1\"\nrole = %q\nport = %d\ndata_dir = %q\n}\n", n, role, w.ports[n], w.data(n))
	}
	b.WriteString("}\ntarget \"nas\" { url = \"file://" + w.dir + "/nas\" }\ntarget \"offsite\" { url = \"s3://bucket/wal\" }\n")
	cfg, diags := schema.LoadFiles(map[string][]byte{"main.hcl": []byte(b.String())}, schema.LoadOptions{})
	if cfg == nil {
		w.t.Fatalf("%v\n%s", diags, b.String())
	}
	w.cfg = cfg
}

// Host serves observe.Run.
func (w *world) Host(context.Context, *schema.Cluster, *schema.Node) (remote.Host, error) {
	return w.host, nil
}

// build makes our programs, to be installed by a plan. They go to the owner's home,
// where other clusters of the machine may use them too, so they stay there.
func (w *world) build() {
	w.t.Helper()
	w.binaries = map[string]string{}
	for _, name := range []string{"pg_manage", "pg_manage-hook"} {
		w.binaries[name] = filepath.Join(w.dir, name)
		cmd := exec.Command("go", "build", "-o", w.binaries[name], "pg_manage/cmd/"+name)
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
}

func (w *world) observe(ctx context.Context, cluster, node string) *planner.NodeFacts {
	for _, c := range w.cfg.Clusters {
		if c.Name == cluster && c.Node(node) != nil {
			return observe.Node(ctx, w.host, c, c.Node(node), observe.Options{})
		}
	}
	return nil
}

func (w *world) plan() *planner.Plan {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	observed := observe.Run(ctx, w.cfg, w, observe.Options{Restore: w.restore})
	if b := w.cfg.Clusters[0].Bootstrap; b != nil && b.Restore != nil {
		w.locate(ctx, observed, b.Restore)
	}
	if w.restore != nil {
		w.locate(ctx, observed, &w.restore.Want)
	}
	sums := map[string]string{}
	for name, file := range w.binaries {
		b, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		sums[name] = hex.EncodeToString(sum[:])
	}
	return planner.New(w.cfg, observed, planner.Options{
		Now: time.Now(), ToolVersion: "test", Binaries: map[string]map[string]string{runtime.GOARCH: sums}, Restore: w.restore,
	})
}

// locate lets the first node look into the archives for where a restore leads.
func (w *world) locate(ctx context.Context, observed *planner.Observed, want *schema.Restore) {
	w.t.Helper()
	cat := observed.Clusters[w.name].Catalog(want.Target.Name, want.Cluster)
	if cat == nil || !cat.Known || len(cat.Backups) == 0 {
		return
	}
	f := observed.Node(w.name, w.cfg.Clusters[0].Nodes[0].Name)
	req, err := node.NewLocateRequest(w.cfg, want, f.Paths.State)
	if err != nil {
		w.t.Fatal(err)
	}
	var res node.LocateResult
	if err := executor.CallNode(ctx, w.host, f.Paths, f.Host.Owner, executor.NodeCall{Command: "locate", Request: req, Result: &res}); err != nil {
		w.t.Fatal(err)
	}
	cat.Archives, cat.Found = res.Archives, res.Found
}

func (w *world) env() executor.Env {
	return executor.Env{
		Config: w.cfg, Observe: w.observe, Sink: w.log,
		Host: func(context.Context, string, string) (remote.Host, error) { return w.host, nil },
		Binary: func(_, name string) (executor.Binary, error) {
			f, err := os.Open(w.binaries[name])
			return executor.Binary{Content: f}, err
		},
		Lease: &executor.LeaseOptions{Holder: "test@here", PID: os.Getpid(), Operation: "apply"},
		Wait:  executor.Wait{Poll: 100 * time.Millisecond, Stream: 2 * time.Minute},
	}
}

// apply plans and runs, and fails the test when a step fails.
func (w *world) apply() *executor.Report {
	w.t.Helper()
	p := w.plan()
	for _, f := range p.Findings {
		w.t.Logf("%s: %s: %s", f.Node, f.Summary, f.Detail)
	}
	return w.run(p)
}

func (w *world) run(p *planner.Plan) *executor.Report {
	w.t.Helper()
	r, err := executor.Run(context.Background(), p, w.env())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range r.Results {
		w.t.Logf("%s %s already=%v %s %s %s", x.Step, x.Status, x.Already, x.Duration.Round(time.Millisecond), x.Reason, x.Error)
	}
	if !r.OK() {
		w.t.Fatal("not all steps were done")
	}
	return r
}

// settled checks that nothing is left to do.
func (w *world) settled() {
	w.t.Helper()
	p := w.plan()
	for _, s := range p.Steps {
		w.t.Errorf("still to do: %s: %s", s.ID, s.Reason)
	}
	for _, f := range p.Findings {
		w.t.Errorf("finding: %s: %s", f.Summary, f.Detail)
	}
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// eventLog keeps all events.
type eventLog struct {
	mu     sync.Mutex
	events []event.Event
}

func (l *eventLog) Emit(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *eventLog) count(typ event.Type, step string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.events {
		if e.Type == typ && (step == "" || e.Step == step) {
			n++
		}
	}
	return n
}
