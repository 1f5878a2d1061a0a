package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/storage"
)

const dir = "pg_hotbackup/main"

// keys makes an identity file, and gives its name and the public key.
func keys(t testing.TB) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.Recipient().String()
}

func encrypted(t *testing.T) repo.Target {
	t.Helper()
	file, recipient := keys(t)
	return repo.Target{Name: "nas", Recipients: []string{recipient}, AgeIdentityFile: file}
}

func newStore(t *testing.T) storage.Driver {
	t.Helper()
	d, _ := storeIn(t, t.TempDir())
	return d
}

func storeIn(t *testing.T, root string) (storage.Driver, string) {
	t.Helper()
	d, err := posix.New("file://"+root, "file", root)
	if err != nil {
		t.Fatal(err)
	}
	return d, root
}

func open(t *testing.T, d storage.Driver, target repo.Target) *Catalog {
	t.Helper()
	c, err := New(d, dir, target)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at is a time of a backup: the n-th hour.
func at(n int) time.Time { return time.Date(2026, 11, 22, n, 0, 0, 0, time.UTC) }

// bytesOf gives n bytes that are the same whenever they are asked for.
func bytesOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	rand.NewChaCha8(key).Read(b) //nolint:errcheck // never fails
	return b
}

// info describes a backup that begins at hour n, without its objects.
func info(n int, parent string) *Info {
	kind := Full
	if parent != "" {
		kind = Incremental
	}
	return &Info{
		Version: Version, Label: Label(at(n), "node1", kind), Kind: kind, Parent: parent, Cluster: "main", Node: "node1",
		SystemIdentifier: "7000000000000000001", PostgreSQL: "17.6", Timeline: 1, SegmentSize: 16 << 20, BlockSize: 8192,
		StartTime: at(n), StopTime: at(n).Add(time.Minute), StartLSN: 0x1000000, StopLSN: 0x1000100, WAL: WALArchived, Compression: "zstd",
	}
}

// store stores the objects of a backup: two parts of n bytes, index and manifest.
func store(ctx context.Context, c *Catalog, i *Info, n int) error {
	if err := c.Begin(ctx, i.Label, i.Parent); err != nil {
		return err
	}
	i.Parts = nil
	for p := range 2 {
		o, err := c.Create(ctx, i.Label, c.PartName(p), bytes.NewReader(bytesOf(uint64(p), n)))
		if err != nil {
			return err
		}
		i.Parts = append(i.Parts, o)
	}
	var err1, err2 error
	i.Index, err1 = c.Create(ctx, i.Label, c.IndexName(), bytes.NewReader(bytesOf(8, 1000)))
	i.Manifest, err2 = c.Create(ctx, i.Label, c.ManifestName(), bytes.NewReader(bytesOf(9, 2000)))
	return errors.Join(err1, err2)
}

// take takes a backup as the engine does.
func take(ctx context.Context, c *Catalog, i *Info) error {
	if err := store(ctx, c, i, 3000); err != nil {
		return err
	}
	return c.Commit(ctx, i)
}

func mustTake(t *testing.T, c *Catalog, n int, parent string) *Info {
	t.Helper()
	i := info(n, parent)
	if err := take(t.Context(), c, i); err != nil {
		t.Fatal(err)
	}
	return i
}

// labels says what is listed, with a mark for what is broken.
func labels(t *testing.T, c *Catalog) string {
	t.Helper()
	all, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range all {
		text += e.Label
		if e.Broken != "" {
			text += "!"
		}
		text += " "
	}
	return text
}

func readAll(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// mustBeWhole reads everything of everything that is listed as whole.
func mustBeWhole(ctx context.Context, c *Catalog) error {
	all, err := c.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.Broken != "" {
			return fmt.Errorf("%s is listed and %s", e.Label, e.Broken)
		}
		if _, err := c.Chain(ctx, e.Label); err != nil {
			return err
		}
		for p, o := range e.Parts {
			if b, err := readAll(c.Open(ctx, e.Label, o.Name)); err != nil || !bytes.Equal(b, bytesOf(uint64(p), len(b))) || len(b) == 0 {
				return fmt.Errorf("%s of %s: %d bytes, %w", o.Name, e.Label, len(b), err)
			}
		}
		for _, o := range []Object{e.Index, e.Manifest} {
			if _, err := readAll(c.Open(ctx, e.Label, o.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}
