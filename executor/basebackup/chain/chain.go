// Package chain reads the indexes of a backup and of those that it builds upon, oldest to
// newest, as one: for every file of the newest backup it knows the sums of all blocks, and
// in which part of which backup each of them lies.
//
// What it holds in memory grows with the number of files, not with their sizes: sums and
// pieces lie in a temporary file that has no name.
package chain

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
)

// Source opens objects of backups: what was stored, decrypted, from its start. An object of
// another size or sum than backup.json says gives a *codec.DamagedError in place of io.EOF.
// *catalog.Catalog is a source.
type Source interface {
	Whole(ctx context.Context, label string, o catalog.Object) (io.ReadCloser, error)
}

// Piece is a run of blocks of a file that lie one after the other in one frame.
type Piece struct {
	Backup int // which of the chain's backups has it, by its place in Infos
	index.Chunk
}

// File is a file of the newest backup. Together its pieces are the whole file, in its order.
type File struct {
	Path   string
	Mode   uint32 // permission bits
	MTime  int64  // seconds since 1970
	Size   int64  // bytes
	Sums   []byte // of all its blocks, index.SumSize bytes each
	Pieces []Piece
}

// Dir is a directory of the newest backup.
type Dir struct {
	Path string
	Mode uint32 // permission bits
}

// Link is a symbolic link of the newest backup.
type Link struct{ Path, To string }

// Chain is a backup with all that it builds upon. File and Files may be used by several
// goroutines at once.
type Chain struct {
	infos []*catalog.Info
	spool *os.File
	files map[string]record
	order []string // the names of files, as their records lie in the spool
	dirs  []Dir
	links []Link
}

// record is where the spool has a file's sums and pieces. Files that did not change share
// that of their ancestor.
type record struct {
	offset, length int64
	size, mtime    int64
	mode           uint32
}

// Open reads the indexes of infos, which are a full backup and those that build upon it,
// oldest first, as catalog's Chain gives them. tmpDir is where the temporary file is made.
// What does not fit together is a *DamageError that names the backup and the object; other
// errors say that something could not be read.
func Open(ctx context.Context, src Source, infos []*catalog.Info, tmpDir string) (*Chain, error) {
	if err := checkInfos(infos); err != nil {
		return nil, err
	}
	spool, err := os.CreateTemp(tmpDir, ".pg_manage-chain-") // 0600
	if err != nil {
		return nil, fmt.Errorf("make room for the index of a backup: %w", err)
	}
	c := &Chain{infos: infos, spool: spool}
	if err := os.Remove(spool.Name()); err != nil {
		_ = spool.Close() // the error before it says more
		return nil, fmt.Errorf("make room for the index of a backup: %w", err)
	}
	if err := c.load(ctx, src); err != nil {
		_ = spool.Close()
		return nil, err
	}
	return c, nil
}

// checkInfos makes sure that the backups are one of each other.
func checkInfos(infos []*catalog.Info) error {
	if len(infos) == 0 {
		return fmt.Errorf("no backup to read")
	}
	for i, info := range infos {
		switch {
		case i == 0 && (info.Kind != catalog.Full || info.Parent != ""):
			return damaged(info, "backup.json", "it is no full backup, and what it builds upon is not there")
		case i == 0:
		case info.Kind != catalog.Incremental || info.Parent != infos[i-1].Label:
			return damaged(info, "backup.json", "its parent is %q, not %s", info.Parent, infos[i-1].Label)
		case info.SystemIdentifier != infos[i-1].SystemIdentifier:
			return damaged(info, "backup.json", "it is of system %s, and its parent %s of %s", info.SystemIdentifier, infos[i-1].Label, infos[i-1].SystemIdentifier)
		}
	}
	return nil
}

func (c *Chain) load(ctx context.Context, src Source) error {
	w := &spooler{w: bufio.NewWriterSize(c.spool, 256<<10)}
	for i := range c.infos {
		if err := c.layer(ctx, src, i, w); err != nil {
			return err
		}
		if err := w.w.Flush(); err != nil {
			return fmt.Errorf("write the index of backup %s into a temporary file: %w", c.infos[i].Label, err)
		}
	}
	if err := c.checkTree(); err != nil {
		return err
	}
	for name := range c.files {
		c.order = append(c.order, name)
	}
	slices.SortFunc(c.order, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.files[a].offset, c.files[b].offset), strings.Compare(a, b))
	})
	return nil
}

// layer reads the index of backup i and puts it over what its ancestors have.
func (c *Chain) layer(ctx context.Context, src Source, i int, w *spooler) error {
	info := c.infos[i]
	o, err := openIndex(ctx, src, info)
	if err != nil {
		return err
	}
	defer o.close()
	before := c.files
	c.files, c.dirs, c.links = make(map[string]record, len(before)), nil, nil
	for {
		e, err := o.next()
		if err == io.EOF {
			return o.finish()
		}
		if err != nil {
			return err
		}
		switch {
		case e.Dir != "":
			c.dirs = append(c.dirs, Dir{e.Dir, e.Mode & 0o7777})
			continue
		case e.Link != "":
			c.links = append(c.links, Link{e.Link, e.To})
			continue
		}
		if _, twice := c.files[e.Path]; twice {
			return damaged(info, info.Index.Name, "%s is in it twice", e.Path)
		}
		if err := checkEntry(info, e); err != nil {
			return err
		}
		old, has := before[e.Path]
		rec, err := c.put(w, i, e, old, has)
		if err != nil {
			return err
		}
		rec.size, rec.mode, rec.mtime = e.Size, e.Mode&0o7777, e.MTime
		c.files[e.Path] = rec
	}
}

// put gives the record of an entry of backup i: a new one, or its ancestor's.
func (c *Chain) put(w *spooler, i int, e *index.Entry, old record, has bool) (record, error) {
	info := c.infos[i]
	var parent *File
	if has && (e.Same || missing(e)) {
		var err error
		if parent, err = c.read(e.Path, old); err != nil {
			return record{}, err
		}
	}
	if e.Same {
		switch {
		case parent == nil:
			return record{}, damaged(info, info.Index.Name, "%s is said to be the parent's, which has no such file", e.Path)
		case parent.Size != e.Size:
			return record{}, damaged(info, info.Index.Name, "%s is said to be the parent's, with %d bytes; the parent's has %d", e.Path, e.Size, parent.Size)
		}
		return old, nil
	}
	f, err := merge(i, e, parent)
	if err != nil {
		return record{}, damaged(info, info.Index.Name, "%s", err)
	}
	return w.put(f)
}

// missing says whether an entry leaves blocks to its parent.
func missing(e *index.Entry) bool {
	var have int64
	for _, c := range e.Chunks {
		have += c.Count
	}
	return have < index.Blocks(e.Size)
}

// maxSize bounds the size of a file, so that no arithmetic overflows.
const maxSize = 1 << 50

// maxFrame is the most that a frame has in a part: compression makes what cannot be
// compressed a little longer.
const maxFrame = frame.Max + frame.Max/8

// checkEntry makes sure that an entry's pieces can lie where it says.
func checkEntry(info *catalog.Info, e *index.Entry) error {
	if e.Size > maxSize {
		return damaged(info, info.Index.Name, "%s has %d bytes", e.Path, e.Size)
	}
	for _, k := range e.Chunks {
		switch {
		case k.Part >= len(info.Parts):
			return damaged(info, info.Index.Name, "%s lies in part %d, and there are %d", e.Path, k.Part, len(info.Parts))
		case k.Length <= 0 || k.Length > maxFrame || k.Offset > info.Parts[k.Part].Size-k.Length:
			return damaged(info, info.Index.Name, "%s lies in a frame of %d bytes at %d of %s, which has %d", e.Path, k.Length, k.Offset, info.Parts[k.Part].Name, info.Parts[k.Part].Size)
		case k.Skip > frame.Max || k.Count > frame.Max/index.BlockSize || k.Skip+k.Bytes(e.Size) > frame.Max:
			return damaged(info, info.Index.Name, "%s has %d blocks at %d in a frame, which is more than it holds", e.Path, k.Count, k.Skip)
		}
	}
	return nil
}

// Infos are the backups of the chain, oldest first.
func (c *Chain) Infos() []*catalog.Info { return c.infos }

// Newest is the backup whose files the chain has.
func (c *Chain) Newest() *catalog.Info { return c.infos[len(c.infos)-1] }

// Dirs are the directories of the newest backup, each behind the one that it lies in.
func (c *Chain) Dirs() []Dir { return c.dirs }

// Links are the symbolic links of the newest backup.
func (c *Chain) Links() []Link { return c.links }

// Len is the number of files.
func (c *Chain) Len() int { return len(c.files) }

// Has says whether there is a file of that path.
func (c *Chain) Has(path string) bool { _, ok := c.files[path]; return ok }

// Size is how many bytes the file of that path has; 0 when there is none.
func (c *Chain) Size(path string) int64 { return c.files[path].size }

// Sizes gives all paths of files, in no particular order, with their sizes in bytes.
func (c *Chain) Sizes() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for name, rec := range c.files {
			if !yield(name, rec.size) {
				return
			}
		}
	}
}

// File gives one file of the newest backup, and false when it has none of that path.
func (c *Chain) File(path string) (*File, bool, error) {
	rec, ok := c.files[path]
	if !ok {
		return nil, false, nil
	}
	f, err := c.read(path, rec)
	return f, err == nil, err
}

// Files gives all files of the newest backup, in the order of the indexes that told of them.
// It ends with the first error.
func (c *Chain) Files() iter.Seq2[*File, error] {
	return func(yield func(*File, error) bool) {
		for _, name := range c.order {
			f, err := c.read(name, c.files[name])
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// Close lets go of the temporary file.
func (c *Chain) Close() error { return c.spool.Close() }

// checkTree makes sure that every path lies in a directory that is named, in a tablespace
// or in pg_wal, and that none is two things.
func (c *Chain) checkTree() error {
	info := c.Newest()
	slices.SortFunc(c.dirs, func(a, b Dir) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(c.links, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
	holds := map[string]bool{".": true} // what may have something in it
	seen := make(map[string]bool, len(c.dirs)+len(c.links))
	add := func(p string) error {
		if seen[p] || c.Has(p) {
			return damaged(info, info.Index.Name, "%s is in it twice", p)
		}
		seen[p] = true
		return nil
	}
	for _, d := range c.dirs {
		if err := add(d.Path); err != nil {
			return err
		}
		holds[d.Path] = true
	}
	for _, l := range c.links {
		if err := add(l.Path); err != nil {
			return err
		}
		if _, ok := TablespaceOID(l.Path); ok || l.Path == "pg_wal" {
			holds[l.Path] = true
		}
	}
	within := func(p string) error {
		if !holds[path.Dir(p)] {
			return damaged(info, info.Index.Name, "%s lies in no directory that it names", p)
		}
		return nil
	}
	for p := range seen {
		if err := within(p); err != nil {
			return err
		}
	}
	for p := range c.files {
		if err := within(p); err != nil {
			return err
		}
	}
	return nil
}

// TablespaceOID gives the OID of a path that is a tablespace's: pg_tblspc/<oid>.
func TablespaceOID(p string) (string, bool) {
	oid, ok := strings.CutPrefix(p, "pg_tblspc/")
	if !ok || oid == "" || len(oid) > 10 || strings.Trim(oid, "0123456789") != "" {
		return "", false
	}
	return oid, true
}
