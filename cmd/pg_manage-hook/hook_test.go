package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/call"
)

func TestTheFirstCallStartsAnArchiverThatServesTheOthers(t *testing.T) {
	n := newNode(t)
	for i := range 5 {
		n.segment(i + 1)
	}
	n.must(0, "archive", "pg_wal/"+seg(1)) // alone, and the archiver is there for the next
	pid := n.serving()
	n.must(0, "archive", "pg_wal/"+seg(2))
	waitFor(t, func() bool { _, err := n.stored(5); return err == nil }) // ahead
	for i := range 5 {
		n.must(0, "archive", "pg_wal/"+seg(i+1))
		n.safe(i + 1)
	}
	for i := range 5 {
		n.restored(i + 1)
	}
	n.must(1, "restore", seg(6), "pg_wal/RECOVERYXLOG")
	if got := n.archiver(); got != pid || len(n.processes()) != 1 {
		t.Errorf("another one runs: %d, not %d; %v", got, pid, n.processes())
	}
}

// TestTheArchiverKeepsNothingOfItsCaller: PostgreSQL's log collector waits for the end
// of standard error, its data directory may have to be unmounted, and its signals go to
// the whole process group.
func TestTheArchiverKeepsNothingOfItsCaller(t *testing.T) {
	n := newNode(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // a test's pipe
	cmd := n.command("archive", n.segment(1))
	cmd.Stdout, cmd.Stderr = w, w
	for range 10 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	pid := n.serving()
	if pid == 0 {
		t.Fatal("none runs")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := bytes.NewBuffer(nil).ReadFrom(r); err != nil {
		t.Errorf("somebody holds the pipe still: %v", err)
	}
	proc := "/proc/" + strconv.Itoa(pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(proc + "/fd/" + fd.Name())
		if err == nil && (strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, n.data)) {
			t.Errorf("it has %s open as %s", to, fd.Name())
		}
	}
	if cwd, err := os.Readlink(proc + "/cwd"); err != nil || cwd != "/" {
		t.Errorf("it runs in %s, %v", cwd, err)
	}
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if own := strconv.Itoa(pid); f[2] != own || f[3] != own {
		t.Errorf("process group %s and session %s of process %s", f[2], f[3], own)
	}
}

func TestAnArchiverWithoutWorkEnds(t *testing.T) {
	n := newNode(t)
	start := func(idle time.Duration) (cmd *exec.Cmd, ended chan error) {
		cmd = exec.CommandContext(t.Context(), programs+"/pg_manage", "hook", "--config", n.config, "archiver", "--idle", idle.String())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended = make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		return cmd, ended
	}
	for idle := 300 * time.Millisecond; ; idle *= 2 { // on a busy machine a call comes later than that
		cmd, ended := start(idle)
		served := false
		for gone := false; !served && !gone; time.Sleep(5 * time.Millisecond) {
			select {
			case err := <-ended:
				ended <- err
				gone = true
			default:
				served = n.archiver() == cmd.Process.Pid
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(call.SocketName(n.config)); !os.IsNotExist(err) {
			t.Fatalf("its socket is there still: %v", err)
		}
		if served {
			break
		}
		if idle > time.Minute {
			t.Fatal("it never answered")
		}
	}
	// A queue that is not empty is work.
	n.configure(func(c *wal.Config) {
		c.Targets = append(c.Targets, repo.Target{Name: "cloud", Scheme: "file", Path: n.root + "/cloud", ArchiveDir: "a"})
	})
	n.must(0, "archive", n.segment(2))
	n.end() // that which the call has started
	cmd, ended := start(300 * time.Millisecond)
	waitFor(t, func() bool {
		st, _ := n.status()
		return st.PID == cmd.Process.Pid && st.Queues["cloud"].Error != ""
	})
	select {
	case err := <-ended:
		t.Errorf("it ended with a full queue: %v", err)
	case <-time.After(2 * time.Second): // several times its idle time
	}
	n.must(0, "init") // the second target is there now
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(n.root + "/cloud/a/main/" + seg(2)[:16] + "/" + seg(2) + ".zst"); err != nil {
		t.Error(err)
	}
}

// TestManyCallsAtOnce: 20 that archive and 20 that restore, on two instances.
func TestManyCallsAtOnce(t *testing.T) {
	a, b := newNode(t), newNode(t)
	for i := range 20 {
		for _, n := range []*node{a, b} {
			n.segment(i + 1)
		}
	}
	var all sync.WaitGroup
	for i := range 20 {
		for _, n := range []*node{a, b} {
			all.Go(func() {
				if status, said := n.call("archive", "pg_wal/"+seg(i+1)); status != 0 {
					t.Errorf("%s: %d: %s", seg(i+1), status, said)
					return
				}
				n.safe(i + 1)
				dest := "pg_wal/" + strconv.Itoa(i)
				if status, said := n.call("restore", seg(i+1), dest); status != 0 {
					t.Errorf("%s: %d: %s", seg(i+1), status, said)
				}
				if got, err := os.ReadFile(n.data + "/" + dest); err != nil || !bytes.Equal(got, content(i+1)) {
					t.Errorf("%s came back otherwise: %v", seg(i+1), err)
				}
			})
		}
	}
	all.Wait()
	for _, n := range []*node{a, b} {
		// Many have started one; those that came late find it, and end.
		waitFor(t, func() bool { pids := n.processes(); return len(pids) == 1 && pids[0] == n.archiver() })
		if left, _ := filepath.Glob(n.data + "/pg_wal/xlogtemp*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestAnotherConfigurationCountsFromTheNextCall(t *testing.T) {
	n := newNode(t)
	n.must(0, "archive", n.segment(1))
	first := n.serving()
	n.target = n.root + "/other"
	n.configure(nil)
	n.must(1, "archive", n.segment(2)) // nobody has set up that archive
	if err := os.Mkdir(n.target, 0o700); err != nil {
		t.Fatal(err)
	}
	n.must(0, "init")
	n.must(0, "archive", n.segment(2))
	n.safe(2)
	waitFor(t, func() bool {
		n.must(0, "archive", "pg_wal/"+seg(2))
		pids := n.processes()
		return len(pids) == 1 && pids[0] != first && n.archiver() == pids[0]
	})
	// Others may write it.
	if err := os.Chmod(n.config, 0o666); err != nil {
		t.Fatal(err)
	}
	n.must(3, "archive", n.segment(3))
	n.must(200, "restore", "--retries", "0", seg(2), "pg_wal/RECOVERYXLOG")
	if _, err := n.stored(3); !os.IsNotExist(err) {
		t.Errorf("it was archived: %v", err)
	}
	if err := os.Remove(n.config); err != nil {
		t.Fatal(err)
	}
	n.must(3, "archive", "pg_wal/"+seg(3))
	n.must(200, "restore", "--retries", "0", seg(2), "pg_wal/RECOVERYXLOG")
	waitFor(t, func() bool { return len(n.processes()) == 0 })
	if err := os.WriteFile(n.config, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.must(3, "archive", "pg_wal/"+seg(3))
	n.must(200, "restore", "--retries", "0", seg(9), "pg_wal/RECOVERYXLOG")
}

// install copies the programs, as an upgrade does: by a rename.
func (n *node) install(dir string, names map[string]string) {
	n.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	for name, from := range names {
		b, err := os.ReadFile(programs + "/" + from)
		if err != nil {
			n.t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/.new", b, 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.Rename(dir+"/.new", dir+"/"+name); err != nil {
			n.t.Fatal(err)
		}
	}
	n.hook = dir + "/pg_manage-hook"
}

func TestAnUpgradeReplacesTheArchiver(t *testing.T) {
	n := newNode(t)
	both := map[string]string{"pg_manage": "pg_manage", "pg_manage-hook": "pg_manage-hook"}
	n.install(n.root+"/bin", both)
	n.must(0, "archive", n.segment(1))
	first := n.serving()
	n.install(n.root+"/bin", both)
	for i := 2; i < 5; i++ {
		n.must(0, "archive", n.segment(i))
		n.safe(i)
	}
	waitFor(t, func() bool {
		n.must(0, "archive", "pg_wal/"+seg(1))
		pid := n.archiver()
		return pid != 0 && pid != first
	})
}

func TestPgManageUnderBothNames(t *testing.T) {
	n := newNode(t)
	n.install(n.root+"/bin", map[string]string{"pg_manage": "pg_manage", "pg_manage-hook": "pg_manage"})
	n.must(0, "archive", n.segment(1))
	n.safe(1)
	n.serving()
	n.restored(1)
	n.must(1, "restore", seg(9), "pg_wal/RECOVERYXLOG")
}

func TestWithoutPgManageBesideItNothingIsAnswered(t *testing.T) {
	n := newNode(t)
	n.install(n.root+"/bin", map[string]string{"pg_manage-hook": "pg_manage-hook"})
	n.must(1, "archive", n.segment(1))
	if _, err := n.stored(1); !os.IsNotExist(err) {
		t.Error(err)
	}
	for _, args := range [][]string{{"restore", seg(1), "pg_wal/R"}, {"restore"}, {"--bad", "restore", seg(1), "pg_wal/R"}} {
		n.must(200, args...)
	}
	n.must(127, "restor", seg(1), "pg_wal/R")
	n.write("standby.signal", nil)
	n.must(2, "restore", seg(1), "pg_wal/R")
}

// TestMessagesThatNobodyReadsKillNothing: the reader of standard error went away.
func TestMessagesThatNobodyReadsKillNothing(t *testing.T) {
	n := newNode(t)
	n.must(0, "archive", n.segment(1))
	n.write("pg_wal/"+seg(2), []byte("garbage"))
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"archive", "pg_wal/" + seg(2)}, 3}, {[]string{"restore", "--bad"}, 200}, {[]string{"archive", "pg_wal/" + seg(1)}, 0}} {
		for range 2 { // through the archiver, and alone
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := n.command(c.args...)
			cmd.Stdout, cmd.Stderr = w, w
			if got := statusOf(t, cmd.Run()); got != c.want {
				t.Errorf("%v ended with %d, not %d", c.args, got, c.want)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			n.install(n.root+"/bin", map[string]string{"pg_manage-hook": "pg_manage-hook", "pg_manage": "pg_manage"})
		}
	}
}

// TestAMisspelledRestoreIsNoAnswer, nor is a call without any command.
func TestAMisspelledRestoreIsNoAnswer(t *testing.T) {
	n := newNode(t)
	n.must(0, "archive", n.segment(1))
	for _, args := range [][]string{{"restor", seg(1), "pg_wal/R"}, {"Restore", seg(1), "pg_wal/R"}, {"", seg(1), "pg_wal/R"}, {"--bad", seg(1)}, {}} {
		n.must(127, args...)
	}
	n.must(2, "archive")
	n.must(2, "cleanup")
}

// TestArgumentsComeAcrossAsTheyAre: also those that are empty, or longer than a page.
func TestArgumentsComeAcrossAsTheyAre(t *testing.T) {
	n := newNode(t)
	n.must(0, "archive", n.segment(1))
	for _, arg := range []string{"", " ", "a\nb", "'\"$(id)", "\xff\xfe", strings.Repeat("long ", 3000)} {
		if said := n.must(2, "archive", "x", arg); !strings.Contains(said, "takes 1 arguments, not 2") {
			t.Errorf("%q: %s", arg, said)
		}
		if said := n.must(127, arg+"?"); !strings.Contains(said, strconv.Quote(arg+"?")) {
			t.Errorf("%q: %s", arg, said)
		}
	}
}

// TestTheWorkIsLeftToTheFullProgramUnderTheHooksName, whose crash ends with a signal.
func TestTheWorkIsLeftToTheFullProgramUnderTheHooksName(t *testing.T) {
	n := newNode(t)
	n.install(n.root+"/bin", map[string]string{"pg_manage-hook": "pg_manage-hook"})
	full := "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ | grep -e TRACEBACK -e ALONE\necho \"$@\"\nexit 77\n"
	if err := os.WriteFile(n.root+"/bin/pg_manage", []byte(full), 0o755); err != nil {
		t.Fatal(err)
	}
	n.env = []string{call.AloneVariable + "=1"} // of nobody who has waited
	for _, c := range []struct{ args, want string }{
		{"archive pg_wal/x", ""},
		{"restore x pg_wal/y", "GOTRACEBACK=crash\n"},
		{"status", ""},
	} {
		want := c.want + "--config " + n.config + " " + c.args + "\n"
		if said := n.must(77, strings.Fields(c.args)...); said != want {
			t.Errorf("got %q, not %q", said, want)
		}
	}
}

// TestARestoreByHandTakesNoFilesPlace: alone, and through an archiver.
func TestARestoreByHandTakesNoFilesPlace(t *testing.T) {
	n := newNode(t)
	n.must(0, "archive", "pg_wal/"+seg(1))
	n.serving()
	n.write("pg_wal/"+seg(1), content(2))
	for range 2 {
		n.must(200, "restore", "--retries", "0", seg(1), "pg_wal/"+seg(1))
		if got, err := os.ReadFile(n.data + "/pg_wal/" + seg(1)); err != nil || !bytes.Equal(got, content(2)) {
			t.Fatalf("the file that was there is another now (%v)", err)
		}
		n.kill(syscall.SIGKILL)
	}
}
