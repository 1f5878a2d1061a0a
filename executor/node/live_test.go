package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/executor/node"
	"pg_manage/executor/repo"
	"pg_manage/planner"
)

// program is pg_manage as it is delivered, built once for all tests of the package.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pg_manage-node-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "pg_manage/cmd/pg_manage").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return dir + "/pg_manage", nil
})

func TestMain(m *testing.M) {
	m.Run() // its result becomes the exit status of the test binary
	if p, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(p)) //nolint:errcheck // a temporary directory
	}
}

// live is a running PostgreSQL, a target for its backups, and the program that takes them there,
// each time in a process of its own.
type live struct {
	t      *testing.T
	pg     *pgtest.Server
	target repo.Target
	bin    string
}

// newLive starts a server with some data. Its target is a directory beside it.
func newLive(t *testing.T) *live {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the program must run as the user of the server: run this test as root")
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, pg: pgtest.New(t), bin: bin}
	l.pg.Start(l.pg.Data)
	l.pg.Run(l.pg.Bin+"/pgbench", "-h", l.pg.Root, "-U", "postgres", "-i", "-q", "-s", "1", "postgres")
	l.pg.Mkdir(l.pg.Root + "/state")
	for _, name := range []string{"node1", "node2", "restorer", "restored0", "restored1", "verifier", "lister", "expirer"} {
		l.pg.Mkdir(l.state(name))
	}
	l.target = repo.Target{Name: "nas", Scheme: "file", Path: l.pg.Mkdir(l.pg.Root + "/target"), ArchiveDir: "wal", Compression: "zstd"}
	return l
}

// dir is where the backups lie.
func (l *live) dir() string { return filepath.Join(l.pg.Root, "target", "backups", "main") }

func (l *live) place() node.Place {
	return node.Place{Target: l.target, BackupDir: "backups", Cluster: "main"}
}

// state is the state directory of a node.
func (l *live) state(name string) string { return filepath.Join(l.pg.Root, "state", name) }

// call is one process of the program.
type call struct {
	l              *live
	command        string
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	err            error
}

// start begins a command with a request.
func (l *live) start(command string, request any) *call {
	l.t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		l.t.Fatal(err)
	}
	c := &call{l: l, command: command, cmd: l.pg.Command(l.bin, "node", command, "--request", string(text))}
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.pg.Root}
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	return c
}

// wait waits for its end, and reads the result when there is one.
func (c *call) wait(result any) *call {
	c.err = c.cmd.Wait()
	if result != nil && c.stdout.Len() > 0 {
		if err := json.Unmarshal(c.stdout.Bytes(), result); err != nil {
			c.l.t.Errorf("%s: %v: %s", c.command, err, c.stdout.String())
		}
	}
	return c
}

// said is what a person is told, without the events.
func (c *call) said() string {
	var text []string
	for line := range strings.Lines(c.stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			text = append(text, strings.TrimSpace(line))
		}
	}
	return strings.Join(text, "\n")
}

// ok fails the test unless the command did what it was asked for.
func (c *call) ok() {
	c.l.t.Helper()
	if c.err != nil {
		c.l.t.Errorf("%s: %v: %s\n%s", c.command, c.err, c.said(), c.stdout.String())
	}
}

func (l *live) backupRequest(name string, incremental bool) node.BackupRequest {
	return node.BackupRequest{
		Version: node.Version, Place: l.place(), Node: name, StateDir: l.state(name), Incremental: incremental, Workers: 2,
		Server: node.Server{DataDir: l.pg.Data, BinDir: l.pg.Bin, SocketDir: l.pg.Root, Port: 5432, User: "postgres", Major: l.pg.Major},
	}
}

// take takes a backup and gives its label.
func (l *live) take(name string, incremental bool) string {
	l.t.Helper()
	var res node.BackupResult
	l.start("backup", l.backupRequest(name, incremental)).wait(&res).ok()
	return res.Backup.Label
}

func (l *live) restoreRequest(label, dir string) node.RestoreRequest {
	return node.RestoreRequest{Version: node.Version, Place: l.place(), Label: label, DataDir: dir, Workers: 2, StateDir: l.state("restorer")}
}

func (l *live) verifyRequest(label string) node.VerifyRequest {
	return node.VerifyRequest{Version: node.Version, Place: l.place(), Label: label, Chain: true, Workers: 2, StateDir: l.state("verifier")}
}

// catalog lists the backups, of which none may be broken.
func (l *live) catalog() planner.CatalogFact {
	l.t.Helper()
	var res node.CatalogResult
	l.start("catalog", node.CatalogRequest{Version: node.Version, Places: []node.Place{l.place()}, StateDir: l.state("lister")}).wait(&res).ok()
	if len(res.Catalogs) != 1 || !res.Catalogs[0].Known {
		l.t.Fatalf("the backups are not known: %+v", res)
	}
	for _, b := range res.Catalogs[0].Backups {
		if b.Broken != "" {
			l.t.Errorf("%s is listed as broken: %s", b.Label, b.Broken)
		}
	}
	return res.Catalogs[0]
}

func (l *live) labels() []string {
	l.t.Helper()
	return labelsOf(l.catalog())
}

func labelsOf(c planner.CatalogFact) []string {
	var labels []string
	for _, b := range c.Backups {
		labels = append(labels, b.Label)
	}
	return labels
}

// whole makes sure that a restored directory is what the server's own program takes for whole.
func (l *live) whole(dir string) {
	l.t.Helper()
	if out, err := l.pg.Command(l.pg.Bin+"/pg_verifybackup", dir).CombinedOutput(); err != nil {
		l.t.Errorf("%s: %v: %s", dir, err, out)
	}
}

// restored restores a backup into a directory, checks and removes it.
func (l *live) restored(label, dir string) {
	l.t.Helper()
	c := l.start("restore", l.restoreRequest(label, dir)).wait(nil)
	c.ok()
	if c.err == nil {
		l.whole(dir)
	}
	l.drop(dir)
}

func (l *live) drop(dir string) {
	l.t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		l.t.Fatal(err)
	}
}

// unstartable makes sure that nobody takes what a restore has left for a cluster.
func (l *live) unstartable(dir string) {
	l.t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "global", "pg_control")); err == nil {
		l.t.Errorf("%s can be started", dir)
	}
}

// idle waits until no session holds the server in backup mode.
func (l *live) idle() {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); l.pg.SQL("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'") != "0"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("a session of a backup is left")
		}
	}
}

// allSound verifies every backup that is listed.
func (l *live) allSound() {
	l.t.Helper()
	for _, label := range l.labels() {
		l.start("verify", l.verifyRequest(label)).wait(nil).ok()
	}
}

// has says whether all of some labels are among others.
func has(all []string, some ...string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
