package catalog

import (
	"context"
	"fmt"
	"io"
	"path"
	"sync"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// Names of files beside the objects.
const (
	infoName  = "backup.json"
	claimName = "begun.json"
	pinName   = "pinned.json"
)

// Catalog is the backups of one cluster at one target. Its methods may be called by
// several goroutines at once. It knows which labels it has begun itself: these alone it
// commits and gives up.
type Catalog struct {
	d     storage.Driver
	dir   string
	codec *codec.Codec

	mu    sync.Mutex
	begun map[string]*writing // by label
}

// New gives the backups in a directory of a target that d reaches, such as
// "pg_hotbackup/main". t says how objects are compressed and encrypted. Nothing is asked
// of the target yet.
func New(d storage.Driver, dir string, t repo.Target) (*Catalog, error) {
	if err := storage.CheckName(dir); err != nil {
		return nil, fmt.Errorf("the directory of a cluster's backups: %w", err)
	}
	c, err := codec.New(codec.Settings{Compression: t.Compression, Recipients: t.Recipients}, t.AgeIdentityFile)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", t.Name, err)
	}
	return &Catalog{d: d, dir: dir, codec: c, begun: map[string]*writing{}}, nil
}

// Compression is how the parts and the index of new backups are compressed: "zstd", "lz4",
// "gzip" or "none".
func (c *Catalog) Compression() string { return c.codec.Compression() }

// Encrypted says whether the objects of new backups are encrypted.
func (c *Catalog) Encrypted() bool { return c.codec.Encrypts() }

// PartName is the name of part i of a new backup.
func (c *Catalog) PartName(i int) string {
	return fmt.Sprintf("part-%04d.tar", i) + c.codec.Extension()
}

// IndexName is the name of the index of a new backup.
func (c *Catalog) IndexName() string { return "index.json" + c.codec.Extension() }

// ManifestName is the name of PostgreSQL's manifest of a new backup, which is not compressed.
func (c *Catalog) ManifestName() string { return "backup_manifest" + c.codec.Encryption() }

// path is where a file of a backup lies at the target.
func (c *Catalog) path(label, name string) string { return path.Join(c.dir, label, name) }

// fail says what was tried with which backup.
func (c *Catalog) fail(op, label string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s backup %s of %s: %w", c.d, op, label, c.dir, err)
}

func checkLabel(label string) error {
	if !ValidLabel(label) || storage.CheckName(label) != nil {
		return fmt.Errorf("%q is no label of a backup", label)
	}
	return nil
}

// maxSmall bounds backup.json and its like, in bytes.
const maxSmall = 16 << 20

// readSmall reads a file that cannot be large.
func (c *Catalog) readSmall(ctx context.Context, label, name string) ([]byte, error) {
	r, err := c.d.Open(ctx, c.path(label, name))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxSmall+1))
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err == nil && len(text) > maxSmall {
		err = &damagedError{fmt.Errorf("%s is larger than %d bytes", name, maxSmall)}
	}
	return text, err
}
