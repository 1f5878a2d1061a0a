package restore

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
)

// refused expects an error, and nothing changed in a directory.
func (w *world) refused(o Options, want string) {
	w.t.Helper()
	before := map[string]string{}
	if _, err := os.Stat(o.DataDir); err == nil {
		before = backuptest.Tree(w.t, o.DataDir)
	}
	_, err := Restore(w.t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), want) {
		w.t.Fatalf("%v, want %q", err, want)
	}
	after := map[string]string{}
	if _, err := os.Stat(o.DataDir); err == nil {
		after = backuptest.Tree(w.t, o.DataDir)
	}
	backuptest.Same(w.t, after, before)
}

func TestRefusalsComeBeforeAnythingIsTouched(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	busy := filepath.Join(w.dir, "busy")
	backuptest.DataDir(t, busy, "")
	backuptest.Write(t, w.dir, "full/file", []byte("x"))
	backuptest.Write(t, w.dir, "afile", []byte("x"))
	foreign := filepath.Join(w.dir, "foreign")
	backuptest.DataDir(t, foreign, "")
	backuptest.Write(t, foreign, "global/pg_control", backuptest.Control("42"))
	running := filepath.Join(w.dir, "running")
	backuptest.DataDir(t, running, "")
	server := exec.Command("sleep", "1000")
	server.Dir = running
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	backuptest.Write(t, running, "postmaster.pid", fmt.Appendf(nil, "%d\n%s\n", server.Process.Pid, running))

	tests := map[string]struct {
		change func(o *Options)
		want   string
	}{
		"a directory that is not empty":          {func(o *Options) { o.DataDir = busy }, "is not empty"},
		"a delta over what is no data directory": {func(o *Options) { o.DataDir, o.Delta = filepath.Join(w.dir, "full"), true }, "does not look like a data directory"},
		"a delta over another cluster":           {func(o *Options) { o.DataDir, o.Delta = foreign, true }, "system identifier 42"},
		"a running server":                       {func(o *Options) { o.DataDir, o.Delta = running, true }, "runs on"},
		"a running server, without delta":        {func(o *Options) { o.DataDir = running }, "runs on"},
		"no directory above":                     {func(o *Options) { o.DataDir = filepath.Join(w.dir, "no/such") }, "the directory above it is not there"},
		"a file":                                 {func(o *Options) { o.DataDir = filepath.Join(w.dir, "afile") }, "no directory"},
		"a relative path":                        {func(o *Options) { o.DataDir = "data" }, "no absolute path"},
		"a tablespace that is not empty":         {func(o *Options) { o.Tablespaces["16400"] = filepath.Join(w.dir, "full") }, "tablespace 16400"},
		"a tablespace in the data directory":     {func(o *Options) { o.Tablespaces["16400"] = o.DataDir + "/space" }, "lie in each other"},
		"a tablespace where it was":              {func(o *Options) { o.Tablespaces = nil }, "is not empty"},
		"a tablespace that is not there":         {func(o *Options) { o.Tablespaces["1"] = filepath.Join(w.dir, "y") }, "has no tablespace 1"},
		"WAL in the data directory":              {func(o *Options) { o.WALDir = o.DataDir + "/wal" }, "lie in each other"},
		"WAL where something is":                 {func(o *Options) { o.WALDir = filepath.Join(w.dir, "full") }, "is not empty"},
		"another cluster's backup":               {func(o *Options) { o.SystemIdentifier = "42" }, "not of 42"},
		"no such backup":                         {func(o *Options) { o.Label = "20200101T000000Z-node1-full" }, "20200101T000000Z-node1-full"},
		"keeping pg_control":                     {func(o *Options) { o.KeepFiles = []string{"global"} }, "cannot be kept"},
		"keeping what lies outside":              {func(o *Options) { o.KeepFiles = []string{"../x"} }, "no path in the data directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w.t = t
			o := w.options(full.Label, "new")
			tt.change(&o)
			w.refused(o, tt.want)
			if _, err := os.Stat(filepath.Join(w.dir, "new-space")); err == nil {
				t.Error("the tablespace's directory was made")
			}
		})
	}
}

func TestAStalePidFileIsNoServer(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	w.restore(o)
	other := exec.Command("sleep", "1000") // its process number was a server's once
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	backuptest.Write(t, o.DataDir, "postmaster.pid", fmt.Appendf(nil, "%d\n", other.Process.Pid))
	o.Delta = true
	w.restore(o)
	w.same(o.DataDir)
}

// Damage at every place ends the restore with an error that names it; what is left is
// no directory that could be started.
func TestDamageIsNamedAndNothingCanBeStarted(t *testing.T) {
	for _, compression := range []string{"zstd", "none"} {
		w := newWorld(t, repo.Target{Name: "here", Compression: compression})
		labels := w.chain()
		infos, err := w.target.Chain(t.Context(), labels[2])
		if err != nil {
			t.Fatal(err)
		}
		used := w.used(infos)
		n := 0
		for _, info := range infos {
			for _, o := range append(info.Parts, info.Index, info.Manifest) {
				t.Run(fmt.Sprintf("%s/%s/%s", compression, info.Label, o.Name), func(t *testing.T) {
					w.t = t
					name := filepath.Join(w.target.Dir, info.Label, o.Name)
					whole, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					defer func() {
						if err := os.WriteFile(name, whole, 0o600); err != nil {
							t.Fatal(err)
						}
					}()
					bad := append([]byte{}, whole...)
					for i := range bad { // so that no frame is left sound
						if i%50 == 0 {
							bad[i] ^= 1
						}
					}
					if err := os.WriteFile(name, bad, 0o600); err != nil {
						t.Fatal(err)
					}
					n++
					opts := w.options(labels[2], fmt.Sprintf("d%s%d", compression, n))
					_, err = Restore(t.Context(), opts)
					var damage *chain.DamageError
					if !used[info.Label+"/"+o.Name] {
						if err != nil {
							t.Errorf("what is not needed is damaged: %v", err)
						}
						return
					}
					if !errors.As(err, &damage) || damage.Backup != info.Label || damage.Object != o.Name {
						t.Fatalf("%v: %+v", err, damage)
					}
					if _, err := os.Stat(filepath.Join(opts.DataDir, controlFile)); err == nil {
						t.Error("it can be started")
					}
					// It is mended, and the restore goes on.
					if err := os.WriteFile(name, whole, 0o600); err != nil {
						t.Fatal(err)
					}
					w.restore(opts)
					w.same(opts.DataDir)
				})
			}
		}
	}
}

// used are the objects of a chain that a restore reads: not all parts and manifests of ancestors.
func (w *world) used(infos []*catalog.Info) map[string]bool {
	w.t.Helper()
	c, err := chain.Open(w.t.Context(), w.target.Catalog, infos, w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	used := map[string]bool{c.Newest().Label + "/" + c.Newest().Manifest.Name: true}
	for _, info := range infos {
		used[info.Label+"/"+info.Index.Name] = true
	}
	for f, err := range c.Files() {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range f.Pieces {
			used[infos[p.Backup].Label+"/"+infos[p.Backup].Parts[p.Part].Name] = true
		}
	}
	return used
}

func TestAnObjectThatIsMissingOrShortIsNoticedBefore(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	infos, err := w.target.Chain(t.Context(), labels[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		name := filepath.Join(w.target.Dir, info.Label, info.Parts[0].Name)
		for what, change := range map[string]func() error{
			"short":   func() error { return os.Truncate(name, info.Parts[0].Size-1) },
			"missing": func() error { return os.Remove(name) },
		} {
			whole, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
			o := w.options(labels[2], "new")
			w.refused(o, info.Parts[0].Name)
			if _, err := os.Stat(o.DataDir); err == nil {
				t.Errorf("%s: something was written", what)
			}
			if err := os.WriteFile(name, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tmpfs mounts a small file system.
func tmpfs(t testing.TB, dir string, size int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Fatalf("mount a file system of %d bytes on %s (needs root): %v", size, dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestTooLittleSpaceIsNoticedBefore(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	for _, what := range []string{"data", "tablespace"} {
		small := filepath.Join(w.dir, "small-"+what)
		tmpfs(t, small, 1<<20)
		o := w.options(full.Label, "new-"+what)
		if what == "data" {
			o.DataDir = filepath.Join(small, "data")
		} else {
			o.Tablespaces["16400"] = filepath.Join(small, "space")
		}
		w.refused(o, "free, and the restore needs")
		if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
			t.Errorf("left: %v %v", left, err)
		}
	}
}

func TestADiskThatFillsUpMeanwhileLeavesNothingToStart(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	small := filepath.Join(w.dir, "small")
	tmpfs(t, small, 12<<20)
	o := w.options(full.Label, "x")
	o.DataDir = filepath.Join(small, "data")
	hog := filepath.Join(small, "hog")
	o.Progress = func(done, _ int64) { // somebody else takes the space, once it has begun
		if done == 0 {
			backuptest.Write(t, small, "hog", make([]byte, 9<<20))
		}
	}
	_, err := Restore(t.Context(), o)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "restoring again goes on") {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, controlFile)); err == nil {
		t.Error("it can be started")
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	o.Progress = nil
	if r := w.restore(o); !r.Resumed {
		t.Errorf("%+v", r)
	}
	w.same(o.DataDir)
}

// TestAServerThatKnowsItsDirectoryByAnotherPath: a bind mount, which only the server may see.
func TestAServerThatKnowsItsDirectoryByAnotherPath(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(t.TempDir(), "there")
	if err := os.Mkdir(there, 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"--mount", "sh", "-c", `mount --bind "$1" "$2" && cd "$2" && echo ready && exec cat`, "sh", dir, there}
	if os.Getuid() != 0 {
		args = append([]string{"--map-root-user"}, args...)
	}
	server := exec.Command("unshare", args...)
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = in.Close(), server.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	backuptest.Write(t, dir, "postmaster.pid", fmt.Appendf(nil, "%d\n%s\n", server.Process.Pid, there))
	if err := refuseRunning(dir); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("a server runs on it: %v", err)
	}
}
