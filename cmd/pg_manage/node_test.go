package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/executor/event"
	"pg_manage/executor/node"
	"pg_manage/executor/repo"
)

// onNode is a real server with a target, and our program beside it.
type onNode struct {
	*pgtest.Server
	t               *testing.T
	program, target string
	state           string
}

func newOnNode(t *testing.T) *onNode {
	t.Helper()
	s := pgtest.New(t)
	n := &onNode{Server: s, t: t, program: s.Root + "/pg_manage", target: s.Mkdir(s.Root + "/target"), state: s.Mkdir(s.Root + "/state")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(n.program, os.O_CREATE|os.O_WRONLY, 0o755) // the server's user cannot read where go test has it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *onNode) place() node.Place {
	return node.Place{Target: repo.Target{Name: "nas", Scheme: "file", Path: n.target, ArchiveDir: "wal"}, BackupDir: "backups", Cluster: "main"}
}

func (n *onNode) backup() node.BackupRequest {
	return node.BackupRequest{
		Version: node.Version, Place: n.place(), Node: "node1", StateDir: n.state,
		Server: node.Server{DataDir: n.Data, BinDir: n.Bin, SocketDir: n.Root, Port: 5432, User: "postgres", Major: n.Major},
	}
}

// call runs `pg_manage node` as the server's user.
func (n *onNode) call(command string, request, result any) (stderr string, code int) {
	n.t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := n.Command(n.program, "node", command)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), result); err != nil {
			n.t.Fatalf("%s: %v", out.String(), err)
		}
	}
	return errs.String(), cmd.ProcessState.ExitCode()
}

func (n *onNode) must(command string, request, result any) string {
	n.t.Helper()
	stderr, code := n.call(command, request, result)
	if code != exitOK {
		n.t.Fatalf("node %s: exit code %d\n%s", command, code, stderr)
	}
	return stderr
}

func (n *onNode) labels() []string {
	n.t.Helper()
	var res node.CatalogResult
	n.must("catalog", node.CatalogRequest{Version: node.Version, Places: []node.Place{n.place()}, StateDir: n.state}, &res)
	c := res.Catalogs[0]
	if !c.Known || len(c.Unfinished) > 0 {
		n.t.Fatalf("%+v", c)
	}
	var out []string
	for _, b := range c.Backups {
		if b.Broken != "" {
			n.t.Errorf("%s: %s", b.Label, b.Broken)
		}
		out = append(out, b.Label)
	}
	return out
}

func TestANodeBacksUpAndRestoresARealServer(t *testing.T) {
	n := newOnNode(t)
	n.Start(n.Data)
	n.SQL("CREATE TABLE t AS SELECT g, repeat('x', 200) AS fill FROM generate_series(1, 20000) g")
	var full, incr node.BackupResult
	stderr := n.must("backup", n.backup(), &full)
	progress := false
	for line := range strings.Lines(stderr) {
		e, ok := event.Parse(line)
		if !ok {
			t.Errorf("this is no event: %q", line)
		}
		progress = progress || e.Type == event.Progress && e.Total > 0 && e.Done == e.Total
	}
	if !progress {
		t.Errorf("no progress to the end was told:\n%s", stderr)
	}
	n.SQL("UPDATE t SET fill = 'y' WHERE g < 10")
	again := n.backup()
	again.Incremental = true
	n.must("backup", again, &incr)
	if incr.Backup.Kind != "incremental" || incr.Backup.Parent != full.Backup.Label || incr.Backup.Stored >= full.Backup.Stored {
		t.Errorf("%+v", incr.Backup)
	}
	if got := n.labels(); strings.Join(got, " ") != full.Backup.Label+" "+incr.Backup.Label {
		t.Errorf("there are %q", got)
	}

	dir := n.Root + "/restored"
	var restored node.RestoreResult
	n.must("restore", node.RestoreRequest{Version: node.Version, Place: n.place(), Label: incr.Backup.Label, DataDir: dir, SystemIdentifier: incr.Backup.SystemIdentifier, StateDir: n.state}, &restored)
	if len(restored.Chain) != 2 || restored.Files == 0 {
		t.Errorf("%+v", restored)
	}
	n.Run(n.Bin+"/pg_verifybackup", "--no-parse-wal", dir)
	// The settings of a recovery are written and taken away.
	at := node.Recovery{LSN: incr.Backup.StopLSN}
	settings := node.SettingsRequest{Version: node.Version, DataDir: dir, Recovery: &at, RestoreCommand: "false", Major: n.Major, StateDir: n.state}
	n.must("settings", settings, &node.SettingsResult{})
	if text, err := os.ReadFile(dir + "/postgresql.auto.conf"); err != nil || !strings.Contains(string(text), incr.Backup.StopLSN.String()) {
		t.Errorf("%s, %v", text, err)
	}
	settings = node.SettingsRequest{Version: node.Version, DataDir: dir, Clean: true, Major: n.Major, StateDir: n.state}
	if stderr, code := n.call("settings", settings, &node.SettingsResult{}); code != exitError || !strings.Contains(stderr, "not ended") {
		t.Errorf("before the recovery ended: exit code %d\n%s", code, stderr)
	}
	stderr, code := n.call("restore", node.RestoreRequest{Version: node.Version, Place: n.place(), Label: incr.Backup.Label, DataDir: n.Data, StateDir: n.state}, &restored)
	if code != exitError || !strings.Contains(stderr, n.Data) {
		t.Errorf("restoring over the running server: exit code %d\n%s", code, stderr)
	}

	// Reading finds nothing, then what was damaged, and names it.
	verify := node.VerifyRequest{Version: node.Version, Place: n.place(), Label: incr.Backup.Label, Chain: true, StateDir: n.state}
	var found node.VerifyResult
	n.must("verify", verify, &found)
	if len(found.Backups) != 2 || !found.Sound() || !found.Complete {
		t.Errorf("%+v", found)
	}
	part := n.target + "/backups/main/" + full.Backup.Label + "/part-0000.tar.zst"
	n.flip(part)
	stderr, code = n.call("verify", verify, &found)
	if code != exitError || found.Sound() || found.Backups[0].Label != full.Backup.Label || len(found.Backups[0].Problems) == 0 || found.Backups[0].Problems[0].Object != "part-0000.tar.zst" {
		t.Errorf("a flipped bit: exit code %d, %+v\n%s", code, found, stderr)
	}
	n.flip(part)
	n.must("verify", verify, &found)

	// Expiry does what it is told, and refuses what nobody may ask for.
	expire := node.ExpireRequest{Version: node.Version, Place: n.place(), Labels: []string{incr.Backup.Label}, StateDir: n.state}
	var expired node.ExpireResult
	if stderr, code := n.call("expire", expire, &expired); code != exitError || !strings.Contains(stderr, "newest whole backup") {
		t.Errorf("the newest: exit code %d\n%s", code, stderr)
	}
	expire.Labels = []string{full.Backup.Label}
	if stderr, code := n.call("expire", expire, &expired); code != exitError || !strings.Contains(stderr, incr.Backup.Label) {
		t.Errorf("what another rests on: exit code %d\n%s", code, stderr)
	}
	if got := n.labels(); len(got) != 2 {
		t.Errorf("only %q are left", got)
	}
	var newer node.BackupResult
	n.must("backup", n.backup(), &newer)
	expire.Labels, expire.DryRun = []string{incr.Backup.Label, full.Backup.Label}, true
	n.must("expire", expire, &expired)
	if got := n.labels(); len(got) != 3 || len(expired.Removed) != 2 {
		t.Errorf("a dry run left %q, and tells of %q", got, expired.Removed)
	}
	expire.DryRun = false
	n.must("expire", expire, &expired)
	if got := n.labels(); strings.Join(got, " ") != newer.Backup.Label {
		t.Errorf("expiry left %q", got)
	}
}

// flip turns one bit in the middle of a file.
func (n *onNode) flip(name string) {
	n.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		n.t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(name, text, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// firstProgress closes a channel when the first bytes are read.
type firstProgress struct {
	once sync.Once
	seen chan struct{}
}

func (f *firstProgress) Emit(e event.Event) {
	if e.Type == event.Progress && e.Done > 0 {
		f.once.Do(func() { close(f.seen) })
	}
}

func TestABackupThatIsEndedLeavesNothing(t *testing.T) {
	n := newOnNode(t)
	n.Start(n.Data)
	req := n.backup()
	req.Rate = 1 << 20
	text, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	begun := &firstProgress{seen: make(chan struct{})}
	var out, errs bytes.Buffer
	cmd := n.Command(n.program, "node", "backup", "--request", string(text))
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&event.LineReader{Sink: begun}, &errs)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-begun.seen:
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		t.Fatal("nothing was read within a minute")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || out.Len() > 0 {
		t.Errorf("exit code %d, %s\n%s", code, out.String(), errs.String())
	}
	if got := n.labels(); len(got) > 0 {
		t.Errorf("there are %q", got)
	}
	files, err := filepath.Glob(n.target + "/backups/main/*/*")
	if err != nil || len(files) > 0 {
		t.Errorf("%q are left, %v", files, err)
	}
}
