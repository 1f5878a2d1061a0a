package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// edited changes backup.json in a directory.
func edited(t *testing.T, root, label string, change func(m map[string]any)) {
	t.Helper()
	file := filepath.Join(root, dir, label, infoName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWhatCannotBeRestoredIsListedAsBroken: full, incr on full, leaf on incr, and another
// full one that nothing ever happens to.
func TestWhatCannotBeRestoredIsListedAsBroken(t *testing.T) {
	full, other := info(1, ""), info(4, "")
	incr := info(2, full.Label)
	leaf := info(3, incr.Label)
	in := func(root string, i *Info, name string) string { return filepath.Join(root, dir, i.Label, name) }
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		damage func(t *testing.T, root string)
		broken map[*Info]string // what the reason says
	}{
		"nothing": {func(*testing.T, string) {}, nil},
		"a missing parent": {
			func(t *testing.T, root string) { must(t, os.RemoveAll(in(root, full, ""))) },
			map[*Info]string{incr: full.Label + " is missing", leaf: "broken at " + incr.Label},
		},
		"a missing part": {
			func(t *testing.T, root string) { must(t, os.Remove(in(root, full, "part-0001.tar.zst"))) },
			map[*Info]string{full: "part-0001.tar.zst is missing", incr: "broken at " + full.Label, leaf: "broken at " + full.Label},
		},
		"a part that is cut": {
			func(t *testing.T, root string) { must(t, os.Truncate(in(root, incr, "part-0000.tar.zst"), 2999)) },
			map[*Info]string{incr: "2999 bytes instead of 3000", leaf: "broken at " + incr.Label},
		},
		"a missing index":      {func(t *testing.T, root string) { must(t, os.Remove(in(root, leaf, "index.json.zst"))) }, map[*Info]string{leaf: "index.json.zst is missing"}},
		"a manifest that grew": {func(t *testing.T, root string) { must(t, os.Truncate(in(root, leaf, "backup_manifest"), 3000)) }, map[*Info]string{leaf: "3000 bytes instead of"}},
		"an empty backup.json": {func(t *testing.T, root string) { must(t, os.Truncate(in(root, leaf, infoName), 0)) }, map[*Info]string{leaf: "backup.json"}},
		"a cut backup.json":    {func(t *testing.T, root string) { must(t, os.Truncate(in(root, full, infoName), 300)) }, map[*Info]string{full: "backup.json", incr: "broken at " + full.Label, leaf: "broken at " + full.Label}},
		"a huge backup.json":   {func(t *testing.T, root string) { must(t, os.Truncate(in(root, leaf, infoName), maxSmall+1)) }, map[*Info]string{leaf: "larger than"}},
		"a newer version": {func(t *testing.T, root string) {
			edited(t, root, leaf.Label, func(m map[string]any) { m["version"] = 2 })
		}, map[*Info]string{leaf: "version 2"}},
		"a name that leads out": {func(t *testing.T, root string) {
			edited(t, root, leaf.Label, func(m map[string]any) { m["parts"].([]any)[0].(map[string]any)["name"] = "../x" })
		}, map[*Info]string{leaf: "../x"}},
		"another cluster's parent": {
			func(t *testing.T, root string) {
				edited(t, root, incr.Label, func(m map[string]any) { m["system_identifier"] = "1" })
			},
			map[*Info]string{incr: "another database cluster", leaf: "another database cluster"},
		},
		"a circle": {
			func(t *testing.T, root string) {
				edited(t, root, incr.Label, func(m map[string]any) { m["parent"], m["start_time"] = leaf.Label, leaf.StartTime })
			},
			map[*Info]string{incr: "circle", leaf: "circle"},
		},
		"a directory's copy": {
			func(t *testing.T, root string) {
				must(t, os.RemoveAll(in(root, leaf, "")))
				must(t, os.CopyFS(in(root, leaf, ""), os.DirFS(in(root, other, ""))))
			},
			map[*Info]string{leaf: "in the directory of another"},
		},
		"an unreadable backup.json": {
			func(t *testing.T, root string) {
				must(t, os.Remove(in(root, leaf, infoName)))
				must(t, os.Symlink(infoName, in(root, leaf, infoName))) // a loop
			},
			map[*Info]string{leaf: "cannot be read"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			d, root := storeIn(t, t.TempDir())
			cat := open(t, d, repo.Target{})
			for _, i := range []*Info{full, incr, leaf, other} {
				must(t, take(t.Context(), cat, i))
			}
			c.damage(t, root)
			all, err := cat.List(t.Context())
			must(t, err)
			got := map[string]string{}
			for _, e := range all {
				got[e.Label] = e.Broken
			}
			if all[0].StartTime.After(all[len(all)-1].StartTime) {
				t.Error("they are not sorted")
			}
			for _, i := range []*Info{full, incr, leaf, other} {
				if _, err := os.Stat(in(root, i, "")); err != nil {
					continue
				}
				broken, listed := got[i.Label]
				if want := c.broken[i]; !listed || (want == "") != (broken == "") || !strings.Contains(broken, want) {
					t.Errorf("%s is said to be broken by %q instead of %q", i.Label, broken, want)
				}
				one, err := cat.Info(t.Context(), i.Label)
				if want := c.broken[i]; err != nil || (one.Broken == "") != (broken == "") || !strings.Contains(one.Broken, want) {
					t.Errorf("alone, %s is broken by %q, %v, instead of %q", i.Label, one.Broken, err, broken)
				}
				chain, err := cat.Chain(t.Context(), i.Label)
				if (err == nil) != (broken == "") || err == nil && (chain[0].Kind != Full || chain[len(chain)-1].Label != i.Label) {
					t.Errorf("its chain is %v, %v", chain, err)
				}
			}
		})
	}
}

// deaf is a driver some of whose operations fail.
type deaf struct {
	storage.Driver
	fail func(op, name string) error
}

func (d *deaf) List(ctx context.Context, name string) ([]storage.Info, error) {
	if err := d.fail("list", name); err != nil {
		return nil, err
	}
	return d.Driver.List(ctx, name)
}

func (d *deaf) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := d.fail("open", name); err != nil {
		return nil, err
	}
	return d.Driver.Open(ctx, name)
}

func (d *deaf) OpenRange(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := d.fail("range", name); err != nil {
		return nil, err
	}
	return d.Driver.OpenRange(ctx, name, off, n)
}

func TestAnOutageIsNoAnswer(t *testing.T) {
	d := newStore(t)
	i := mustTake(t, open(t, d, repo.Target{}), 1, "")
	outage := errors.New("outage")
	for what, fail := range map[string]func(op, name string) error{
		"all":           func(string, string) error { return outage },
		"the directory": func(op, name string) error { return map[string]error{"list" + dir: outage}[op+name] },
		"a backup's":    func(op, name string) error { return map[string]error{"list" + dir + "/" + i.Label: outage}[op+name] },
		"the connection": func(op, _ string) error {
			return map[string]error{"open": storage.ErrLost}[op]
		},
	} {
		c := open(t, &deaf{Driver: d, fail: fail}, repo.Target{})
		_, err1 := c.List(t.Context())
		_, err2 := c.Unfinished(t.Context())
		_, err3 := c.Info(t.Context(), i.Label)
		for n, err := range []error{err1, err2, err3} {
			if (err == nil) != (what == "the directory" && n == 2) || errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := c.Remove(t.Context(), i.Label); err == nil {
			t.Errorf("%s: something was removed", what)
		}
	}
	if _, err := open(t, d, repo.Target{}).Info(t.Context(), info(9, "").Label); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("a backup that is not there: %v", err)
	}
}

func TestListingReadsNothingButNamesAndBackupJSON(t *testing.T) {
	d := newStore(t)
	plain := open(t, d, repo.Target{})
	full := mustTake(t, plain, 1, "")
	mustTake(t, plain, 2, full.Label)
	if err := plain.Prove(t.Context(), full.Label, Proof{Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	calls := make(chan string, 100)
	c := open(t, &deaf{Driver: d, fail: func(op, name string) error { calls <- op + " " + filepath.Base(name); return nil }}, repo.Target{})
	if _, err := c.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(calls)
	got := map[string]int{}
	for call := range calls {
		got[call]++
	}
	want := map[string]int{"list main": 1, "list " + full.Label: 1, "list " + info(2, full.Label).Label: 1, "open backup.json": 2}
	if !maps.Equal(got, want) {
		t.Errorf("it did %v", got)
	}
}

func TestARangeOfAnEncryptedObjectIsOneRequest(t *testing.T) {
	requests := 0
	d := &deaf{Driver: newStore(t), fail: func(op, _ string) error {
		if op == "range" {
			requests++
		}
		return nil
	}}
	c := open(t, d, encrypted(t))
	want := bytesOf(1, 4<<20)
	o, err := c.Create(t.Context(), info(1, "").Label, c.PartName(0), bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Object(t.Context(), info(1, "").Label, o)
	if err != nil || requests != 2 {
		t.Fatalf("%d requests, %v", requests, err)
	}
	for _, small := range []bool{false, true} {
		requests = 0
		in, err := r.Range(t.Context(), 100, 3<<20)
		if err != nil {
			t.Fatal(err)
		}
		src := io.Reader(in)
		if small {
			src = io.MultiReader(io.LimitReader(in, 7), struct{ io.Reader }{in})
		}
		got, err := io.ReadAll(src)
		if err := errors.Join(err, in.Close()); err != nil || !bytes.Equal(got, want[100:100+3<<20]) || requests != 1 {
			t.Errorf("%d bytes by %d requests, %v", len(got), requests, err)
		}
	}
}

func TestDamageOfAnEncryptedObjectIsFound(t *testing.T) {
	d, root := storeIn(t, t.TempDir())
	c := open(t, d, encrypted(t))
	want := bytesOf(1, 300_000)
	label := info(1, "").Label
	o, err := c.Create(t.Context(), label, c.PartName(0), bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, c.path(label, o.Name))
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole := func() error { // reads it by ranges
		r, err := c.Object(t.Context(), label, o)
		if err != nil {
			return err
		}
		got, err := readAll(r.Range(t.Context(), 0, r.Size()))
		if err == nil && !bytes.Equal(got, want) {
			return errors.New("other bytes came")
		}
		return err
	}
	if err := whole(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 10, 60, 180, 230, 5000, 70_000, 200_000, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *codec.DamagedError
		var none *codec.NoIdentityError // a recipient's stanza that was changed is another's
		if err := whole(); !errors.As(err, &damaged) && !errors.As(err, &none) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a bit at %d: %v", at, err)
		}
		if _, err := readAll(c.Open(t.Context(), label, o.Name)); !errors.As(err, &damaged) && !errors.As(err, &none) {
			t.Errorf("a bit at %d: %v", at, err)
		}
	}
	for _, n := range []int{0, 1, 100, 220, 70_000, len(good) - 1} {
		if err := os.WriteFile(file, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *codec.DamagedError
		if err := whole(); !errors.As(err, &damaged) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := readAll(c.Open(t.Context(), label, o.Name)); !errors.As(err, &damaged) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzDecodeInfo(f *testing.F) {
	i := info(2, info(1, "").Label)
	o := Object{Name: "part-0000.tar.zst", Size: 1, SHA256: strings.Repeat("0", 64)}
	i.Parts, i.Index, i.Manifest = []Object{o}, o, o
	i.Index.Name, i.Manifest.Name = "index.json.zst", "backup_manifest"
	i.Tablespaces = []Tablespace{{16384, "/srv/x"}}
	text, err := i.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1}`))
	f.Add(bytes.ReplaceAll(text, []byte("part-0000"), []byte("../../x")))
	f.Add(bytes.ReplaceAll(text, []byte(`"size": 1`), []byte(`"size": -1`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := DecodeInfo(text)
		if err != nil {
			return
		}
		for _, o := range i.objects() {
			if strings.ContainsAny(o.Name, "/\x00\n") || strings.HasPrefix(o.Name, "..") && len(o.Name) == 2 || o.Size < 0 {
				t.Errorf("an object %+v was taken", o)
			}
		}
		again, err := i.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if j, err := DecodeInfo(again); err != nil || j.Label != i.Label || j.Parent == j.Label {
			t.Errorf("%v, %v", j, err)
		}
		e := Entry{Info: *i}
		judge([]Entry{e})
		e.Fact()
	})
}
