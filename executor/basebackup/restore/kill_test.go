package restore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

// TestHelperRestore is the process that TestAKilledRestoreIsTakenUp kills.
func TestHelperRestore(t *testing.T) {
	dir := os.Getenv("PG_MANAGE_TEST_RESTORE")
	if dir == "" {
		return // it is no test by itself
	}
	g := backuptest.Open(t, filepath.Join(dir, "target"), repo.Target{Name: "here"}, nil)
	_, err := Restore(t.Context(), Options{
		Catalog: g.Catalog, Label: os.Getenv("PG_MANAGE_TEST_LABEL"), DataDir: filepath.Join(dir, "a"), Delta: os.Getenv("PG_MANAGE_TEST_DELTA") != "", TempDir: filepath.Join(dir, "temp"),
		Tablespaces: map[string]string{"16400": filepath.Join(dir, "a-space")}, Workers: 1,
		Progress: func(done, total int64) { // each step waits until it may go on
			fmt.Println("progress", done, total)
			if _, err := fmt.Scanln(); err != nil {
				os.Stdout.Close()
			}
		},
	})
	fmt.Println("ended", err)
}

// killed restores in a process of its own, and kills it after some steps. It says whether
// the restore ended before.
func (w *world) killed(label string, delta bool, steps int) (ended bool) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperRestore$")
	cmd.Env = append(os.Environ(), "PG_MANAGE_TEST_RESTORE="+w.dir, "PG_MANAGE_TEST_LABEL="+label)
	if delta {
		cmd.Env = append(cmd.Env, "PG_MANAGE_TEST_DELTA=1")
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch {
		case strings.HasPrefix(lines.Text(), "ended"):
			if lines.Text() != "ended <nil>" {
				w.t.Fatal(lines.Text())
			}
			ended = true
		case strings.HasPrefix(lines.Text(), "progress"):
			if steps--; steps > 0 {
				if _, err := io.WriteString(in, "\n"); err != nil {
					w.t.Fatal(err)
				}
				continue
			}
			if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); !ended && err == nil {
		w.t.Fatal("it ended without a word")
	}
	return ended
}

func TestAKilledRestoreIsTakenUp(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	w.mkdir("temp")
	o := w.options(labels[2], "a")
	for steps := 1; ; steps += 17 {
		for _, dir := range []string{"a", "a-space"} {
			if err := os.RemoveAll(filepath.Join(w.dir, dir)); err != nil {
				t.Fatal(err)
			}
		}
		if w.killed(labels[2], false, steps) {
			w.same(o.DataDir)
			break
		}
		w.unstartable(o.DataDir)
		if to, err := os.Readlink(filepath.Join(o.DataDir, "pg_tblspc/16400")); err != nil || to != o.Tablespaces["16400"] {
			t.Errorf("nothing tells of the tablespace: %q, %v", to, err)
		}
		if r := w.restore(o); !r.Resumed {
			t.Errorf("after %d steps: %+v", steps, r)
		}
		w.same(o.DataDir)
	}
}

func TestAKilledDeltaIsTakenUp(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	w.mkdir("temp")
	old, now := w.options(labels[0], "a"), w.options(labels[2], "a")
	w.restore(old)
	old.Delta, now.Delta = true, true
	for steps := 1; ; steps += 13 {
		backuptest.Write(t, old.DataDir, "pg_wal/000000010000000000000009", []byte("the only copy"))
		if w.killed(labels[2], true, steps) {
			w.same(now.DataDir)
			break
		}
		w.unstartable(now.DataDir)
		fresh := now
		fresh.Delta = false
		if _, err := Restore(t.Context(), fresh); err == nil || !strings.Contains(err.Error(), "delta") {
			t.Errorf("what may be left of a cluster is taken for a restore's: %v", err)
		}
		if r := w.restore(now); !r.Resumed {
			t.Errorf("after %d steps: %+v", steps, r)
		}
		w.same(now.DataDir)
		w.restore(old)
	}
	// None of the WAL was lost on the way.
	saved, err := filepath.Glob(filepath.Join(w.dir, "a.old-wal-*", "000000010000000000000009"))
	if err != nil || len(saved) == 0 {
		t.Errorf("%v, %v", saved, err)
	}
}

// unstartable makes sure that PostgreSQL would not start on a directory, and that it says whose it is.
func (w *world) unstartable(dir string) {
	w.t.Helper()
	if _, err := os.Stat(filepath.Join(dir, controlFile)); !errors.Is(err, os.ErrNotExist) {
		w.t.Errorf("it can be started: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, markerName)); err != nil {
		w.t.Error(err)
	}
}
