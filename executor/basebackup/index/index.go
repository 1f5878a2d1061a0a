// Package index is the index of a base backup: which files it has, and where in the parts
// their bytes lie. Package basebackup describes the form.
package index

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Version of the form.
const Version = 1

// BlockSize is the unit of change, in bytes.
const BlockSize = 8192

// SumSize is the length of the sum of one block, in bytes.
const SumSize = 12

// Header begins an index.
type Header struct {
	Version   int    `json:"version"`
	Label     string `json:"label"`
	Parent    string `json:"parent,omitempty"` // label of the backup that has the blocks which no chunk here has
	BlockSize int    `json:"block_size"`
}

// Entry is a directory, a link or a file of the data directory. Exactly one of Dir, Link
// and Path is set: paths in the data directory, with slashes.
type Entry struct {
	Dir  string `json:"dir,omitempty"`
	Link string `json:"link,omitempty"`
	To   string `json:"to,omitempty"` // what Link points to

	Path   string  `json:"path,omitempty"`
	Mode   uint32  `json:"mode,omitempty"`  // permission bits, of Dir too
	Size   int64   `json:"size,omitempty"`  // bytes of the whole file
	MTime  int64   `json:"mtime,omitempty"` // seconds since 1970
	Same   bool    `json:"same,omitempty"`  // all bytes are the parent's; there are no chunks
	Chunks []Chunk `json:"chunks,omitempty"`
	// Sums are the sums of the blocks that the chunks have, in the order of the chunks.
	Sums []byte `json:"sums,omitempty"`

	// Hex says that the names (of Dir, Link, To and Path) are in hexadecimal, since JSON has no form for
	// bytes that are no UTF-8. Writer and Reader see to it: an entry outside an index has it never.
	Hex bool `json:"hex,omitempty"`
}

// Chunk is a run of blocks that lie one after the other in one frame.
type Chunk struct {
	Block  int64 // number of the first
	Count  int64
	Part   int   // number of the part
	Offset int64 // of the frame in the part, before encryption
	Length int64 // of the frame
	Skip   int64 // bytes of the frame's content before the first block
}

// MarshalJSON writes a chunk as an array.
func (c Chunk) MarshalJSON() ([]byte, error) {
	return json.Marshal([6]int64{c.Block, c.Count, int64(c.Part), c.Offset, c.Length, c.Skip})
}

// UnmarshalJSON reads an array of six numbers, none of them negative.
func (c *Chunk) UnmarshalJSON(b []byte) error {
	var a []int64
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	if len(a) != 6 {
		return fmt.Errorf("a chunk has 6 numbers, not %d", len(a))
	}
	for _, n := range a {
		if n < 0 || n > 1<<60 {
			return fmt.Errorf("a chunk has the number %d", n)
		}
	}
	*c = Chunk{Block: a[0], Count: a[1], Part: int(a[2]), Offset: a[3], Length: a[4], Skip: a[5]}
	return nil
}

// Blocks is how many blocks a file of size bytes has.
func Blocks(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// Bytes is how many bytes a chunk of a file of size bytes holds.
func (c Chunk) Bytes(size int64) int64 {
	return min((c.Block+c.Count)*BlockSize, size) - c.Block*BlockSize
}

type end struct {
	Lines int64 `json:"lines"`
}

// Writer writes an index. It is not for several goroutines.
type Writer struct {
	w     *json.Encoder
	lines int64
}

// NewWriter begins an index.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Version, h.BlockSize = Version, BlockSize
	x := &Writer{w: json.NewEncoder(w)}
	x.w.SetEscapeHTML(false)
	return x, x.put(h)
}

func (x *Writer) put(v any) error {
	x.lines++
	return x.w.Encode(v)
}

// Write adds an entry.
func (x *Writer) Write(e *Entry) error {
	if utf8.ValidString(e.Dir) && utf8.ValidString(e.Link) && utf8.ValidString(e.To) && utf8.ValidString(e.Path) {
		return x.put(e)
	}
	h := *e
	h.Hex = true
	for _, s := range h.names() {
		*s = hex.EncodeToString([]byte(*s))
	}
	return x.put(&h)
}

func (e *Entry) names() []*string { return []*string{&e.Dir, &e.Link, &e.To, &e.Path} }

// plain turns hexadecimal names into what they stand for.
func (e *Entry) plain() error {
	if !e.Hex {
		return nil
	}
	for _, s := range e.names() {
		b, err := hex.DecodeString(*s)
		if err != nil {
			return err
		}
		*s = string(b)
	}
	e.Hex = false
	return nil
}

// Close ends the index: one that is cut short lacks its last line.
func (x *Writer) Close() error { return x.put(end{x.lines}) }

// Reader reads an index.
type Reader struct {
	Header Header
	r      *bufio.Reader
	lines  int64
}

// maxLine bounds a line, in bytes: that of a file of 48 GiB has less.
const maxLine = 256 << 20

// NewReader begins to read an index, whose header it reads.
func NewReader(r io.Reader) (*Reader, error) {
	x := &Reader{r: bufio.NewReaderSize(r, 256<<10)}
	line, err := x.line()
	if err != nil {
		return nil, fmt.Errorf("the index: %w", cut(err))
	}
	if err := json.Unmarshal(line, &x.Header); err != nil {
		return nil, fmt.Errorf("the index: %w", err)
	}
	if x.Header.Version != Version || x.Header.BlockSize != BlockSize {
		return nil, fmt.Errorf("the index has version %d and blocks of %d bytes: this program reads version %d with %d", x.Header.Version, x.Header.BlockSize, Version, BlockSize)
	}
	return x, nil
}

func (x *Reader) line() ([]byte, error) {
	var long []byte
	for {
		part, err := x.r.ReadSlice('\n')
		if err == nil && long == nil {
			x.lines++
			return part, nil
		}
		long = append(long, part...)
		switch {
		case err == nil:
			x.lines++
			return long, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(long) > maxLine:
			return nil, errors.New("a line is too long")
		}
	}
}

// cut turns the end of the stream into an error: the last line says that it is the last.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Next gives the next entry, and io.EOF behind the last one. An index that was cut short
// is an error, and so is an entry that contradicts itself.
func (x *Reader) Next() (*Entry, error) {
	line, err := x.line()
	if err != nil {
		return nil, fmt.Errorf("the index, line %d: %w", x.lines+1, cut(err))
	}
	if bytes.HasPrefix(line, []byte(`{"lines":`)) {
		var e end
		if err := json.Unmarshal(line, &e); err != nil || e.Lines != x.lines-1 {
			return nil, fmt.Errorf("the index should have %d lines and has %d", e.Lines, x.lines-1)
		}
		if _, err := x.r.ReadByte(); err == nil {
			return nil, errors.New("the index goes on behind its end")
		} else if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the end of the index: %w", err)
		}
		return nil, io.EOF
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("the index, line %d: %w", x.lines, err)
	}
	if err := errors.Join(e.plain(), e.check()); err != nil {
		return nil, fmt.Errorf("the index, line %d: %w", x.lines, err)
	}
	return &e, nil
}

func (e *Entry) check() error {
	set := 0
	for _, p := range []string{e.Dir, e.Link, e.Path} {
		if p == "" {
			continue
		}
		set++
		if err := CheckPath(p); err != nil {
			return err
		}
	}
	switch {
	case set != 1:
		return errors.New("it is not one of a directory, a link and a file")
	case e.Link != "" && e.To == "":
		return fmt.Errorf("the link %s leads nowhere", e.Link)
	case e.Path == "":
		return nil
	case e.Size < 0 || e.Same && len(e.Chunks) > 0:
		return fmt.Errorf("%s: size %d, %d chunks", e.Path, e.Size, len(e.Chunks))
	}
	var next, sums int64
	for _, c := range e.Chunks {
		if c.Block < next || c.Count <= 0 || c.Block+c.Count > Blocks(e.Size) {
			return fmt.Errorf("%s has a chunk of %d blocks at %d, of %d", e.Path, c.Count, c.Block, Blocks(e.Size))
		}
		next = c.Block + c.Count
		sums += c.Count * SumSize
	}
	if int64(len(e.Sums)) != sums {
		return fmt.Errorf("%s has %d bytes of sums for %d", e.Path, len(e.Sums), sums)
	}
	return nil
}

// CheckPath refuses what is no path below the data directory: an index that was tampered
// with must not make us write elsewhere.
func CheckPath(p string) error {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return fmt.Errorf("%q is no path in a data directory", p)
		}
	}
	return nil
}
