package verify

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/codec"
)

// indexed is what the index of one backup says, by part. The sums of blocks lie in a
// temporary file, one record behind the other: those of a part form a list, the last in front.
type indexed struct {
	spool *os.File
	size  int64
	last  []int64 // by part: where its last record begins; -1: it has none

	full  bool
	dirs  map[string]uint32 // modes; of a full backup
	empty map[string]uint32 // files without content; of a full backup
	found found
}

// wanted is a chunk of a file that a part has.
type wanted struct {
	path  string
	size  int64 // of the file
	mode  uint32
	mtime int64
	index.Chunk
	sums []byte
}

// bytes is how much of the file the chunk has.
func (w *wanted) bytes() int64 { return w.Bytes(w.size) }

func (x *indexed) close() { _ = x.spool.Close() }

// readIndex reads the index of a backup; nil: it is damaged, which was taken down.
func (v *verifier) readIndex(ctx context.Context, info *catalog.Info) (*indexed, error) {
	o, ok, err := v.open(ctx, info, info.Index)
	if err != nil || !ok {
		return nil, err
	}
	defer func() { _ = o.r.Close() }()
	plain, err := decompress(o, info.Index.Name)
	if err != nil {
		return nil, v.explain(info, info.Index, o, err)
	}
	spool, err := tempFile(v.TempDir)
	if err != nil {
		return nil, err
	}
	x := &indexed{spool: spool, full: info.Kind == catalog.Full, dirs: map[string]uint32{}, empty: map[string]uint32{}}
	x.found.init()
	x.last = make([]int64, len(info.Parts))
	for i := range x.last {
		x.last[i] = -1
	}
	err = x.read(info, plain)
	if err == nil {
		_, err = io.Copy(io.Discard, plain)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, o)
	}
	if err != nil {
		x.close()
		return nil, v.explain(info, info.Index, o, err)
	}
	return x, nil
}

// decompress reads an object that is compressed as its name says, decrypted already.
func decompress(r io.Reader, name string) (io.Reader, error) {
	_, ext := codec.Split(name)
	if codec.Encrypted(ext) {
		_, ext = codec.Split(name[:len(name)-len(".age")])
	}
	c, err := codec.New(codec.Settings{}, "")
	if err != nil {
		return nil, err
	}
	return c.Reader(r, ext)
}

// explain takes down an error of reading an object when it is damage. An error that did not
// come from the target is.
func (v *verifier) explain(info *catalog.Info, o catalog.Object, src *object, err error) error {
	var spool *spoolError
	switch {
	case errors.As(err, &spool):
		return err
	case src.fault != nil:
		return v.sort(info, o, src.fault)
	}
	var bad *codec.DamagedError
	if errors.As(err, &bad) {
		err = bad.Err
	}
	v.add(Damage{Backup: info.Label, Object: o.Name, What: err.Error()})
	return nil
}

// spoolError is a failure of the temporary file.
type spoolError struct{ err error }

func (e *spoolError) Error() string {
	return fmt.Sprintf("the temporary file for the index of a backup: %v", e.err)
}

func (e *spoolError) Unwrap() error { return e.err }

// read takes down all that an index says.
func (x *indexed) read(info *catalog.Info, plain io.Reader) error {
	r, err := index.NewReader(plain)
	if err != nil {
		return err
	}
	if h := r.Header; h.Label != info.Label || h.Parent != info.Parent {
		return fmt.Errorf("it is the index of %q with the parent %q, not of %s with %q", h.Label, h.Parent, info.Label, info.Parent)
	}
	w := bufio.NewWriterSize(x.spool, 256<<10)
	for {
		e, err := r.Next()
		if err == io.EOF {
			if err := w.Flush(); err != nil {
				return &spoolError{err}
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case e.Dir != "" && x.full:
			x.dirs[e.Dir] = e.Mode
		case e.Path != "" && e.Size == 0 && x.full:
			x.empty[e.Path] = e.Mode
		}
		sums := e.Sums
		for _, k := range e.Chunks {
			if k.Part >= len(x.last) {
				return fmt.Errorf("%s lies in part %d, and there are %d", e.Path, k.Part, len(x.last))
			}
			n := k.Count * index.SumSize
			rec := &wanted{e.Path, e.Size, e.Mode, e.MTime, k, sums[:n]}
			sums = sums[n:]
			if err := x.put(w, rec); err != nil {
				return err
			}
		}
	}
}

// put writes a record: its length, where that of the part before it begins, and what it holds.
func (x *indexed) put(w io.Writer, rec *wanted) error {
	b := make([]byte, 4, 128+len(rec.path)+len(rec.sums))
	for _, n := range []int64{x.last[rec.Part], rec.size, int64(rec.mode), rec.mtime, rec.Block, rec.Count, rec.Offset, rec.Length, rec.Skip, int64(len(rec.path))} {
		b = binary.AppendVarint(b, n)
	}
	b = append(append(b, rec.path...), rec.sums...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	if _, err := w.Write(b); err != nil {
		return &spoolError{err}
	}
	x.last[rec.Part] = x.size
	x.size += int64(len(b))
	return nil
}

// load gives all chunks that a part has, in the order in which they lie there.
func (x *indexed) load(part int) ([]*wanted, error) {
	var all []*wanted
	for at := x.last[part]; at >= 0; {
		var head [4]byte
		if _, err := x.spool.ReadAt(head[:], at); err != nil {
			return nil, &spoolError{err}
		}
		b := make([]byte, binary.LittleEndian.Uint32(head[:]))
		if _, err := x.spool.ReadAt(b, at); err != nil {
			return nil, &spoolError{err}
		}
		b = b[4:]
		next := func() int64 {
			n, k := binary.Varint(b)
			b = b[max(k, 0):]
			return n
		}
		at = next()
		w := &wanted{size: next(), mode: uint32(next()), mtime: next()}
		w.Chunk = index.Chunk{Block: next(), Count: next(), Part: part, Offset: next(), Length: next(), Skip: next()}
		n := next()
		w.path, w.sums = string(b[:n]), b[n:]
		all = append(all, w)
	}
	slices.SortFunc(all, func(one, other *wanted) int {
		return cmp.Or(cmp.Compare(one.Offset, other.Offset), cmp.Compare(one.Skip, other.Skip))
	})
	return all, nil
}
