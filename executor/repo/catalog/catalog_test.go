package catalog

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

func TestABackupIsThereOnceItIsCommitted(t *testing.T) {
	for name, target := range map[string]repo.Target{"plain": {}, "encrypted": encrypted(t)} {
		t.Run(name, func(t *testing.T) {
			c := open(t, newStore(t), target)
			if all, err := c.List(t.Context()); err != nil || len(all) != 0 {
				t.Fatalf("an empty target has %v, %v", all, err)
			}
			i := info(1, "")
			if err := store(t.Context(), c, i, 200_000); err != nil {
				t.Fatal(err)
			}
			if got := labels(t, c); got != "" {
				t.Errorf("before it is committed %q are listed", got)
			}
			if got, err := c.Unfinished(t.Context()); err != nil || len(got) != 1 || got[0] != i.Label {
				t.Errorf("unfinished are %q, %v", got, err)
			}
			for range 2 { // the second time as after an answer that was lost
				if err := c.Commit(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
			if got := labels(t, c); got != i.Label+" " {
				t.Errorf("listed are %q", got)
			}
			if got, err := c.Unfinished(t.Context()); err != nil || len(got) != 0 {
				t.Errorf("unfinished are %q, %v", got, err)
			}
			if err := mustBeWhole(t.Context(), c); err != nil {
				t.Error(err)
			}
			if err := c.Abort(t.Context(), i.Label); err == nil {
				t.Error("a complete backup was given up")
			}
		})
	}
}

func TestRangesOfObjects(t *testing.T) {
	for name, target := range map[string]repo.Target{"plain": {Compression: "none"}, "encrypted": encrypted(t)} {
		t.Run(name, func(t *testing.T) {
			c := open(t, newStore(t), target)
			for _, size := range []int64{0, 1, 65535, 65536, 65537, 131072, 1<<20 + 77} {
				want := bytesOf(3, int(size))
				i := info(int(size%20), "")
				o, err := c.Create(t.Context(), i.Label, c.PartName(int(size)), bytes.NewReader(want))
				if err != nil {
					t.Fatal(err)
				}
				r, err := c.Object(t.Context(), i.Label, o)
				if err != nil {
					t.Fatal(err)
				}
				if r.Size() != size {
					t.Errorf("it has %d bytes, not %d", r.Size(), size)
				}
				for _, g := range [][2]int64{{0, 0}, {0, 1}, {0, size}, {1, 65536}, {65535, 2}, {65536, 65536}, {size / 2, 100}, {size - 1, 1}, {size - 70_000, 70_000}, {size, 0}, {0, size + 1}, {size, 5}, {size + 5, 1}} {
					off, n := max(g[0], 0), g[1]
					got, err := readAll(r.Range(t.Context(), off, n))
					part := want[min(off, size):min(off+n, size)]
					if !bytes.Equal(got, part) {
						t.Errorf("of %d bytes %d from %d on are other %d", size, n, off, len(got))
					}
					if short := n > 0 && off+n > size; short != errors.Is(err, io.ErrUnexpectedEOF) || !short && err != nil {
						t.Errorf("of %d bytes %d from %d on: %v", size, n, off, err)
					}
				}
			}
		})
	}
}

func TestWhoHasNoKeyCanWriteAndIsToldSoWhenReading(t *testing.T) {
	target := encrypted(t)
	d := newStore(t)
	other, _ := keys(t)
	for name, file := range map[string]string{"none": "", "another": other} {
		w := target
		w.AgeIdentityFile = file
		c := open(t, d, w)
		o, err := c.Create(t.Context(), info(len(name), "").Label, c.PartName(0), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		var none *codec.NoIdentityError
		if _, err := c.Open(t.Context(), info(len(name), "").Label, o.Name); !errors.As(err, &none) || none.File != file {
			t.Errorf("%s: Open: %v", name, err)
		}
		if _, err := c.Object(t.Context(), info(len(name), "").Label, o); !errors.As(err, &none) || none.File != file {
			t.Errorf("%s: Object: %v", name, err)
		}
	}
}

func TestALabelHasOneWriter(t *testing.T) {
	d := newStore(t)
	a, b := open(t, d, repo.Target{}), open(t, d, repo.Target{})
	i := info(1, "")
	if err := store(t.Context(), a, i, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), i.Label, b.PartName(7), strings.NewReader("x")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("the second writer: %v", err)
	}
	if err := b.Commit(t.Context(), i); err == nil {
		t.Error("the second writer has committed what the first one stored")
	}
	if err := b.Abort(t.Context(), i.Label); err != nil {
		t.Error(err)
	}
	if err := a.Commit(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if err := open(t, d, repo.Target{}).Begin(t.Context(), i.Label, ""); !errors.Is(err, storage.ErrExists) {
		t.Errorf("a label that is a backup was begun: %v", err)
	}
	if err := mustBeWhole(t.Context(), a); err != nil {
		t.Error(err)
	}
}
