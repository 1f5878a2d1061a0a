package catalog

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

func TestWhatIsNeededIsNotRemoved(t *testing.T) {
	d, root := storeIn(t, t.TempDir())
	c := open(t, d, repo.Target{})
	full := mustTake(t, c, 1, "")
	incr := mustTake(t, c, 2, full.Label)
	stays := func(label, why string) {
		t.Helper()
		var needed *NeededError
		if err := c.Remove(t.Context(), label); !errors.As(err, &needed) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", label, err)
		}
		if err := mustBeWhole(t.Context(), open(t, d, repo.Target{})); err != nil {
			t.Error(err)
		}
	}
	stays(full.Label, incr.Label)
	if err := c.Pin(t.Context(), incr.Label); err != nil {
		t.Fatal(err)
	}
	stays(incr.Label, "pinned")
	if err := errors.Join(c.Unpin(t.Context(), incr.Label), c.Remove(t.Context(), incr.Label)); err != nil {
		t.Fatal(err)
	}
	running := info(3, full.Label)
	if err := store(t.Context(), open(t, d, repo.Target{}), running, 10); err != nil {
		t.Fatal(err)
	}
	stays(full.Label, "not complete")
	if err := c.Sweep(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	// One whose parent cannot be read may have any.
	broken := mustTake(t, c, 4, full.Label)
	if err := os.Truncate(filepath.Join(root, dir, broken.Label, infoName), 10); err != nil {
		t.Fatal(err)
	}
	var needed *NeededError
	if err := c.Remove(t.Context(), full.Label); !errors.As(err, &needed) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(c.Remove(t.Context(), broken.Label), c.Remove(t.Context(), full.Label)); err != nil {
		t.Error(err)
	}
	if got := labels(t, c); got != "" {
		t.Errorf("%q is left", got)
	}
}

// hooked calls something before an operation.
type hooked struct {
	storage.Driver
	once sync.Once
	when func(op, name string) bool
	then func()
}

func (h *hooked) call(op, name string) {
	if h.when(op, name) {
		h.once.Do(h.then)
	}
}

func (h *hooked) Remove(ctx context.Context, name string) error {
	h.call("remove", name)
	return h.Driver.Remove(ctx, name)
}

func (h *hooked) Put(ctx context.Context, name string, r io.Reader) error {
	h.call("put", name)
	return h.Driver.Put(ctx, name, r)
}

// TestABackupIsBegunOrPinnedWhileItIsRemoved: it comes between what Remove looks at and
// what it does.
func TestABackupIsBegunOrPinnedWhileItIsRemoved(t *testing.T) {
	d := newStore(t)
	plain := open(t, d, repo.Target{})
	full := mustTake(t, plain, 1, "")
	for what, meanwhile := range map[string]func(){
		"begun": func() {
			if err := plain.Begin(t.Context(), info(2, full.Label).Label, full.Label); err != nil {
				t.Error(err)
			}
		},
		"pinned": func() {
			if err := plain.Pin(t.Context(), full.Label); err != nil {
				t.Error(err)
			}
		},
	} {
		h := &hooked{Driver: d, then: meanwhile, when: func(op, name string) bool { return op == "remove" && filepath.Base(name) == infoName }}
		var needed *NeededError
		if err := open(t, h, repo.Target{}).Remove(t.Context(), full.Label); !errors.As(err, &needed) {
			t.Errorf("%s: %v", what, err)
		}
		if got := labels(t, plain); got != full.Label+" " {
			t.Errorf("%s: listed are %q", what, got)
		}
		if err := errors.Join(plain.Unpin(t.Context(), full.Label), plain.Abort(t.Context(), info(2, full.Label).Label)); err != nil {
			t.Error(err)
		}
	}
}

// TestAParentThatIsGoneMakesNoBackup: it was removed while the backup was taken, by
// somebody who saw no reason not to.
func TestAParentThatIsGoneMakesNoBackup(t *testing.T) {
	for _, late := range []bool{false, true} {
		d, root := storeIn(t, t.TempDir())
		plain := open(t, d, repo.Target{})
		full := mustTake(t, plain, 1, "")
		gone := func() {
			if err := os.RemoveAll(filepath.Join(root, dir, full.Label)); err != nil {
				t.Error(err)
			}
		}
		h := &hooked{Driver: d, then: gone, when: func(op, name string) bool { return late && op == "put" && filepath.Base(name) == infoName }}
		c := open(t, h, repo.Target{})
		i := info(2, full.Label)
		if err := store(t.Context(), c, i, 10); err != nil {
			t.Fatal(err)
		}
		if !late {
			gone()
		}
		if err := c.Commit(t.Context(), i); err == nil || !strings.Contains(err.Error(), full.Label) {
			t.Errorf("late %v: %v", late, err)
		}
		if got := labels(t, c); got != "" {
			t.Errorf("late %v: listed are %q", late, got)
		}
		if err := c.Begin(t.Context(), info(3, full.Label).Label, full.Label); err == nil {
			t.Error("a backup was begun on one that is not there")
		}
	}
}

func TestSweepLeavesARunningBackupAlone(t *testing.T) {
	d, root := storeIn(t, t.TempDir())
	c := open(t, d, repo.Target{})
	whole, dead, running := mustTake(t, c, 1, ""), info(2, ""), info(3, "")
	for _, i := range []*Info{dead, running} {
		if err := store(t.Context(), open(t, d, repo.Target{}), i, 10); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-SweepAge - time.Hour)
	for _, i := range []*Info{whole, dead, running} {
		files, err := filepath.Glob(filepath.Join(root, dir, i.Label, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if i == running && filepath.Base(file) == "part-0001.tar.zst" {
				continue
			}
			if err := os.Chtimes(file, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	temp := filepath.Join(root, dir, whole.Label, storage.TempName("proven", "x"))
	if err := errors.Join(os.WriteFile(temp, nil, 0o600), os.Chtimes(temp, old, old), os.Mkdir(filepath.Join(root, dir, info(5, "").Label), 0o700)); err != nil {
		t.Fatal(err)
	}
	// The index of a backup that takes days: S3 tells when its upload was begun, not that it goes on.
	index := filepath.Join(root, dir, running.Label, storage.TempName("index.json.zst", "x"))
	if err := errors.Join(os.WriteFile(index, nil, 0o600), os.Chtimes(index, old, old)); err != nil {
		t.Fatal(err)
	}
	if err := c.Sweep(t.Context(), SweepAge); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(index); err != nil {
		t.Errorf("what a running backup is storing: %v", err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a dead writer left in a backup: %v", err)
	}
	unfinished, err1 := c.Unfinished(t.Context())
	listed, begun, err2 := c.Needs(t.Context())
	if len(listed) != 1 || listed[0].Label != whole.Label {
		t.Errorf("listed are %+v", listed)
	}
	if err := errors.Join(err1, err2); err != nil || len(unfinished) != 1 || unfinished[0] != running.Label || len(begun) != 1 {
		t.Errorf("unfinished are %q and begun %q, %v", unfinished, begun, err)
	}
	if err := mustBeWhole(t.Context(), c); err != nil || labels(t, c) != whole.Label+" " {
		t.Error(labels(t, c), err)
	}
}

func TestOfManyWritersOfALabelOneHasIt(t *testing.T) {
	d := newStore(t)
	i := info(1, "")
	var wg sync.WaitGroup
	won := make(chan *Catalog, 8)
	for range 8 {
		wg.Go(func() {
			c, own := open(t, d, repo.Target{}), *i
			if err := take(t.Context(), c, &own); err == nil {
				won <- c
			} else if err2 := c.Abort(t.Context(), i.Label); !errors.Is(err, storage.ErrExists) || err2 != nil {
				t.Errorf("%v, %v", err, err2)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d writers believe that the backup is theirs", len(won))
	}
	if err := mustBeWhole(t.Context(), <-won); err != nil {
		t.Error(err)
	}
}

func TestCommitRefusesWhatWasNotStored(t *testing.T) {
	d, root := storeIn(t, t.TempDir())
	c := open(t, d, repo.Target{})
	i := info(1, "")
	if err := store(t.Context(), c, i, 10); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(j *Info){
		"another size":       func(j *Info) { j.Parts[0].Size++ },
		"another SHA-256":    func(j *Info) { j.Index.SHA256 = strings.Repeat("0", 64) },
		"an unknown part":    func(j *Info) { j.Parts = append(j.Parts, Object{"part-0009.tar", 1, i.Index.SHA256}) },
		"no index":           func(j *Info) { j.Index = Object{} },
		"another label":      func(j *Info) { j.Label = info(2, "").Label },
		"no label":           func(j *Info) { j.Label = "../x" },
		"an unknown parent":  func(j *Info) { j.Kind, j.Parent = Incremental, info(0, "").Label },
		"itself as a parent": func(j *Info) { j.Kind, j.Parent = Incremental, j.Label },
	} {
		j := *i
		j.Parts = append([]Object(nil), i.Parts...)
		change(&j)
		if err := c.Commit(t.Context(), &j); err == nil {
			t.Fatalf("%s: it was taken", what)
		}
	}
	part := filepath.Join(root, dir, i.Label, i.Parts[1].Name)
	if err := os.Truncate(part, 9); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(t.Context(), i); err == nil {
		t.Error("a part that is shorter was taken")
	}
	if got := labels(t, c); got != "" {
		t.Errorf("listed are %q", got)
	}
}

// sourceError wraps the end of a file, as a broken connection may.
type sourceError struct{ left int }

var errSource = errors.Join(errors.New("the source broke"), io.EOF)

func (s *sourceError) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, errSource
	}
	n := min(s.left, len(b))
	s.left -= n
	return n, nil
}

func TestASourceThatBreaksMakesNoObject(t *testing.T) {
	for kind, newDriver := range drivers() {
		for form, target := range map[string]repo.Target{"plain": {}, "encrypted": encrypted(t)} {
			c := open(t, newDriver(t), target)
			for _, n := range []int{0, 10, 200_000} {
				i := info(n%23, "")
				if _, err := c.Create(t.Context(), i.Label, c.PartName(0), &sourceError{n}); !errors.Is(err, errSource) {
					t.Errorf("%s, %s: %v", kind, form, err)
				}
				if _, err := c.Open(t.Context(), i.Label, c.PartName(0)); !errors.Is(err, storage.ErrNotExist) {
					t.Errorf("%s, %s: after %d bytes it is there: %v", kind, form, n, err)
				}
				if err := c.Abort(t.Context(), i.Label); err != nil {
					t.Error(err)
				}
			}
		}
	}
}
