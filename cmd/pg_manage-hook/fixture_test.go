package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"pg_manage/executor/repo"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/call"
	"pg_manage/schema/postgres"
)

const (
	system  = uint64(7711132678460134211)
	segSize = postgres.MinSegmentSize
)

// programs is the directory with both programs, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pg_manage-hook")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if out, err := exec.Command("go", "build", "-o", dir+"/", "pg_manage/cmd/pg_manage-hook", "pg_manage/cmd/pg_manage").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, out) //nolint:errcheck // a test's word
		return 1
	}
	programs = dir
	return m.Run()
}

// node is a directory that looks like a data directory, with its configuration and a
// target. The real programs work on it.
type node struct {
	t                          *testing.T
	root, data, config, target string
	hook                       string
	env                        []string
}

func newNode(t *testing.T) *node { t.Helper(); return newNodeIn(t, t.TempDir()) }

func newNodeIn(t *testing.T, root string) *node {
	t.Helper()
	n := &node{t: t, root: root, data: root + "/data", config: root + "/state/hook.json", target: root + "/target", hook: programs + "/pg_manage-hook"}
	for _, d := range []string{n.data + "/global", n.data + "/pg_wal/archive_status", n.target, filepath.Dir(n.config)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	head := make([]byte, 512)
	binary.LittleEndian.PutUint64(head, system)
	binary.LittleEndian.PutUint32(head[8:], 1700)
	n.write("global/pg_control", head)
	n.configure(nil)
	t.Cleanup(n.end)
	n.segment(1)
	n.must(0, "init")
	return n
}

func (n *node) configure(change func(c *wal.Config)) {
	n.t.Helper()
	c := wal.Config{
		Version: wal.ConfigVersion, Cluster: "main", Node: "node1", DataDir: n.data,
		Targets: []repo.Target{{Name: "nas", Scheme: "file", Path: n.target, ArchiveDir: "pg_archlog", Required: true}},
	}
	if change != nil {
		change(&c)
	}
	text, err := json.Marshal(c)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(n.config+".new", text, 0o600), os.Rename(n.config+".new", n.config)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) write(name string, content []byte) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.data, name), content, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func seg(i int) string {
	name, err := postgres.SegmentName(1, postgres.LSN(i)*segSize, segSize)
	if err != nil {
		panic(err)
	}
	return name
}

// content is a segment's, of which little is not zero.
func content(i int) []byte {
	b := make([]byte, segSize)
	r := rand.New(rand.NewPCG(uint64(i), 1))
	for at := 64; at < 64<<10; at += 8 {
		binary.LittleEndian.PutUint64(b[at:], r.Uint64())
	}
	le := binary.LittleEndian
	le.PutUint16(b[0:], 0xD116)
	le.PutUint16(b[2:], 2)
	le.PutUint32(b[4:], 1)
	le.PutUint64(b[8:], uint64(i)*segSize)
	le.PutUint64(b[24:], system)
	le.PutUint32(b[32:], segSize)
	le.PutUint32(b[36:], 8192)
	return b
}

// segment puts a segment into pg_wal that waits to be archived.
func (n *node) segment(i int) (path string) {
	n.t.Helper()
	n.write("pg_wal/"+seg(i), content(i))
	n.write("pg_wal/archive_status/"+seg(i)+".ready", nil)
	return "pg_wal/" + seg(i)
}

func (n *node) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(n.t.Context(), n.hook, append([]string{"--config", n.config}, args...)...)
	cmd.Dir, cmd.Env = n.data, append(os.Environ(), n.env...)
	return cmd
}

// call runs the hook and gives its status; 1000 and the signal's number when it was killed.
func (n *node) call(args ...string) (status int, said string) {
	n.t.Helper()
	out, err := n.command(args...).CombinedOutput()
	return statusOf(n.t, err), string(out)
}

func statusOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		t.Fatal(err)
	case exit.ExitCode() < 0:
		return 1000 + int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return exit.ExitCode()
}

func (n *node) must(want int, args ...string) string {
	n.t.Helper()
	status, said := n.call(args...)
	if status != want {
		n.t.Fatalf("%v ended with %d, not %d: %s", args, status, want, said)
	}
	return said
}

// archiver gives the process that runs for the node; 0 when none answers.
func (n *node) archiver() int {
	st, _ := n.status()
	return st.PID
}

// serving waits for the archiver that the first call has started.
func (n *node) serving() (pid int) {
	n.t.Helper()
	waitFor(n.t, func() bool { pid = n.archiver(); return pid != 0 })
	return pid
}

func (n *node) status() (st wal.ArchiverStatus, ok bool) {
	text, ok := call.Query(n.config, "status")
	return st, ok && json.Unmarshal(text, &st) == nil
}

// processes are all archivers of the node, also those that answer no more.
func (n *node) processes() (pids []int) {
	n.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it ended
		}
		args := strings.Split(string(text), "\x00")
		if pid, err := strconv.Atoi(strings.Split(f, "/")[2]); err == nil && strings.Contains(string(text), "\x00"+n.config+"\x00") && strings.Contains(strings.Join(args, " "), " archiver") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// end ends the node's archivers.
func (n *node) end() {
	waitFor(n.t, func() bool { // one may just be starting
		pids := n.processes()
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		}
		return len(pids) == 0
	})
}

func (n *node) kill(sig syscall.Signal) int {
	pid := n.archiver()
	if pid > 0 {
		syscall.Kill(pid, sig) //nolint:errcheck // it may have ended
	}
	return pid
}

// stored says what the archive has of a segment: nothing, or bytes that were checked.
func (n *node) stored(i int) ([]byte, error) { return n.storedAt(n.target, i) }

// storedAt is what a target has of a segment. How it is stored may differ: in one frame or in two.
func (n *node) storedAt(target string, i int) ([]byte, error) {
	f, err := os.Open(filepath.Join(target, "pg_archlog/main", seg(i)[:16], seg(i)+".zst"))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	d, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

// safe makes sure that the archive has a segment as it is.
func (n *node) safe(i int) {
	n.t.Helper()
	got, err := n.stored(i)
	if err != nil || !bytes.Equal(got, content(i)) {
		n.t.Errorf("%s was acknowledged, and the archive has %d bytes, %v", seg(i), len(got), err)
	}
}

// restored makes sure that a restore of a segment gives it as it is.
func (n *node) restored(i int) {
	n.t.Helper()
	n.must(0, "restore", "--retries", "0", seg(i), "pg_wal/RECOVERYXLOG")
	got, err := os.ReadFile(n.data + "/pg_wal/RECOVERYXLOG")
	if err != nil || !bytes.Equal(got, content(i)) {
		n.t.Errorf("%s came back as %d other bytes, %v", seg(i), len(got), err)
	}
}

func waitFor(t *testing.T, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !met() {
		select {
		case <-ctx.Done():
			t.Fatal("it did not come about in a minute")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
