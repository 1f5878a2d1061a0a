package posix

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := New("file://"+root, "file", root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	root := t.TempDir()
	repotest.Run(t, func(t *testing.T) storage.Driver { return open(t, root) })
}

var steps = []string{"mkdir", "create", "write", "fsync", "publish", "syncdir"}

// TestFailureAtEveryStep: only when the file has been published may something be seen,
// and then it is whole.
func TestFailureAtEveryStep(t *testing.T) {
	boom := errors.New("boom")
	for _, at := range steps {
		s := open(t, t.TempDir())
		s.step = func(step string) error {
			if step == at {
				return boom
			}
			return nil
		}
		if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); !errors.Is(err, boom) {
			t.Fatalf("%s: %v", at, err)
		}
		checkAfter(t, s.root, at)
		leftovers(t, s.root, 0)
	}
}

// TestKillChild is run by TestKillAtEveryStep in a process of its own.
func TestKillChild(t *testing.T) {
	repotest.KillChild(t, func(root string, step func(string) error) storage.Driver {
		s := open(t, root)
		s.step = step
		return s
	})
}

func TestKillAtEveryStep(t *testing.T) {
	repotest.Kill(t, "TestKillChild", steps, func(t *testing.T, root string) storage.Driver { return open(t, root) })
}

func checkAfter(t *testing.T, root, at string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "a", "b"))
	switch {
	case at == "syncdir" && string(b) != "text":
		t.Errorf("%s: got %q, %v", at, b, err)
	case at != "syncdir" && !os.IsNotExist(err):
		t.Errorf("%s: something is visible: %q, %v", at, b, err)
	}
}

func leftovers(t *testing.T, root string, n int) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "a", ".*"))
	if err != nil || len(found) != n {
		t.Errorf("left over: %v, %v", found, err)
	}
}

func TestLinkFallback(t *testing.T) {
	dir := t.TempDir()
	temp, final := filepath.Join(dir, "t"), filepath.Join(dir, "f")
	if err := os.WriteFile(temp, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time as after a repeated request
		if err := publishLink(temp, final); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(temp); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(temp, []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publishLink(temp, final); !errors.Is(err, storage.ErrExists) {
		t.Errorf("got %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	root := t.TempDir()
	tmpfs(t, root, "size=1m")
	s := open(t, root)
	err := s.Put(t.Context(), "a/b", bytes.NewReader(make([]byte, 4<<20)))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	checkAfter(t, root, "write")
	leftovers(t, root, 0)
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

func TestMounts(t *testing.T) {
	const text = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /mnt/nas rw - nfs4 10.0.0.100:/backup rw
31 22 0:27 / /mnt/with\040space rw shared:3 master:1 - cifs //nas/x rw
32 30 0:28 / /mnt/nas/local rw - tmpfs tmpfs rw
33 22 0:29 / /mnt/twice rw - nfs 10.0.0.100:/backup rw
34 33 0:30 / /mnt/twice rw - ext4 /dev/vdb rw
`
	for _, c := range []struct {
		path, scheme string
		ok           bool
	}{
		{"/mnt/nas", "nfs", true},
		{"/mnt/nas/a/b", "nfs", true},
		{"/mnt/nas", "cifs", false},
		{"/mnt/nasty", "nfs", false},
		{"/mnt/with space/x", "cifs", true},
		{"/mnt/nas/local/x", "nfs", false},
		{"/mnt/twice", "nfs", false},
		{"/srv", "nfs", false},
		{"/mnt/nas", "ext4", false},
	} {
		if err := checkMountInfo(strings.NewReader(text), c.path, c.scheme); (err == nil) != c.ok {
			t.Errorf("%s://%s: %v", c.scheme, c.path, err)
		}
	}
	if err := checkMountInfo(strings.NewReader("garbage\n"), "/x", "nfs"); err == nil {
		t.Error("garbage was read")
	}
	// What isn't mounted is refused before anything is written.
	dir := t.TempDir()
	for _, scheme := range []string{"nfs", "cifs"} {
		if _, err := New("x", scheme, filepath.Join(dir, "sub")); err == nil || !strings.Contains(err.Error(), "mount the share") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	if _, err := New("x", "file", "relative"); err == nil {
		t.Error("a relative path was taken")
	}
}

func TestUnreadableIsNotAbsent(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	if err := os.Symlink("loop", filepath.Join(root, "loop")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(context.Background(), "loop/x")
	if err == nil || errors.Is(err, storage.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
