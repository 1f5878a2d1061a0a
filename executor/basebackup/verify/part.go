package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
)

// part reads one part: frame by frame where the index knows them, and as a stream between.
// What comes out is read as a tar archive at the same time.
func (v *verifier) part(ctx context.Context, info *catalog.Info, number int, ix *indexed) error {
	o := info.Parts[number]
	src, ok, err := v.open(ctx, info, o)
	if err != nil || !ok {
		return err
	}
	defer func() { _ = src.r.Close() }()
	coder, err := frame.NewCoder(info.Compression)
	if err != nil {
		return err
	}
	p := &partReader{v: v, info: info, object: o, src: src, coder: coder, tar: startTar()}
	defer p.tar.stop()
	var all []*wanted
	if ix != nil {
		if all, err = ix.load(number); err != nil {
			return err
		}
	}
	if err := p.frames(all); err != nil {
		return v.explain(info, o, src, err)
	}
	if _, err := io.Copy(io.Discard, src); err != nil { // the end of the object is checked when it is reached
		return v.explain(info, o, src, err)
	}
	members, err := p.tar.end()
	switch {
	case p.broken: // what the archive holds behind a damage says nothing
	case err != nil:
		v.add(Damage{Backup: info.Label, Object: o.Name, What: fmt.Sprintf("it is no whole tar archive: %v", err)})
	case ix != nil:
		p.compare(all, members, ix)
	}
	return nil
}

// partReader reads one part.
type partReader struct {
	v      *verifier
	info   *catalog.Info
	object catalog.Object
	src    *object
	coder  *frame.Coder
	tar    *tarReader
	at     int64           // in the part
	out    int64           // in the archive
	broken bool            // something could not be decompressed: the archive is not whole
	starts map[int64]int64 // of frames that the index knows: place in the part, to that in the archive

	stored, content, sums []byte
}

func (p *partReader) damage(w *wanted, block, blocks int64, format string, args ...any) {
	d := Damage{Backup: p.info.Label, Object: p.object.Name, What: fmt.Sprintf(format, args...)}
	if w != nil {
		d.File, d.Block, d.Blocks = w.path, block, blocks
	}
	p.v.add(d)
}

// frames reads all frames. An error is one of reading the part.
func (p *partReader) frames(all []*wanted) error {
	p.starts = map[int64]int64{}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Offset == all[0].Offset && all[n].Length == all[0].Length {
			n++
		}
		if err := p.frame(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return p.between(-1)
}

// maxFrame is the most that a frame has in a part.
const maxFrame = frame.Max + frame.Max/8

// frame reads one frame, in which some chunks lie.
func (p *partReader) frame(uses []*wanted) error {
	first := uses[0]
	if first.Offset < p.at || first.Length <= 0 || first.Length > maxFrame {
		for _, w := range uses {
			p.damage(w, w.Block, w.Count, "the index says that it lies in a frame of %d bytes at %d, where none begins", w.Length, w.Offset)
		}
		p.broken = true
		return nil
	}
	if err := p.between(first.Offset - p.at); err != nil {
		return err
	}
	p.stored = grow(p.stored, int(first.Length))
	if _, err := io.ReadFull(p.src, p.stored); err != nil {
		if p.src.fault == nil {
			for _, w := range uses {
				p.damage(w, w.Block, w.Count, "the part ends before it")
			}
			p.broken = true
			return nil
		}
		return err
	}
	p.at += first.Length
	content, err := p.coder.Decode(p.content[:0], p.stored)
	if err != nil {
		for _, w := range uses {
			p.damage(w, w.Block, w.Count, "the frame of %d bytes at %d cannot be decompressed: %v", w.Length, w.Offset, err)
		}
		p.broken = true
		return nil
	}
	p.content = content
	p.starts[first.Offset] = p.out
	for _, w := range uses {
		p.sum(w, content)
	}
	p.out += int64(len(content))
	p.tar.write(content)
	return nil
}

// sum compares the blocks of one chunk.
func (p *partReader) sum(w *wanted, content []byte) {
	if w.Skip > int64(len(content)) || w.bytes() > int64(len(content))-w.Skip {
		p.damage(w, w.Block, w.Count, "the frame at %d holds %d bytes, and the index says that it lies at %d with %d", w.Offset, len(content), w.Skip, w.bytes())
		return
	}
	p.sums = frame.Sums(p.sums[:0], content[w.Skip:w.Skip+w.bytes()])
	begun := int64(-1)
	for i := range w.Count + 1 {
		at := i * index.SumSize
		bad := i < w.Count && !bytes.Equal(p.sums[at:at+index.SumSize], w.sums[at:at+index.SumSize])
		switch {
		case bad && begun < 0:
			begun = i
		case !bad && begun >= 0:
			p.damage(w, w.Block+begun, i-begun, "it is not of the sum in the index")
			begun = -1
		}
	}
}

// between reads n bytes of the part that the index knows no frames of, such as those of
// directories; -1 reads to the end.
func (p *partReader) between(n int64) error {
	if n == 0 {
		return nil
	}
	in := io.Reader(p.src)
	if n > 0 {
		in = io.LimitReader(p.src, n)
	}
	count := &counter{r: in}
	plain, err := decompress(count, "part"+ending(p.info.Compression))
	if err == nil {
		var out int64
		out, err = io.Copy(p.tar, plain)
		p.out += out
	}
	if err != nil {
		if p.src.fault != nil {
			return err
		}
		if n < 0 && count.n == 0 { // nothing is left
			return nil
		}
		p.damage(nil, 0, 0, "what lies at %d cannot be decompressed: %v", p.at, err)
		p.broken = true
	}
	if _, err := io.Copy(io.Discard, count); err != nil {
		return err
	}
	p.at += count.n
	return nil
}

// ending is that of the names of what is compressed in a way.
func ending(compression string) string {
	switch compression {
	case "lz4":
		return ".lz4"
	case "gzip":
		return ".gz"
	case "none":
		return ""
	}
	return ".zst"
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// compare makes sure that `tar` finds the same files as the index does.
func (p *partReader) compare(all []*wanted, members []member, ix *indexed) {
	used := make([]bool, len(members))
	for _, w := range all {
		start, ok := p.starts[w.Offset]
		if !ok {
			continue // a damage of its own
		}
		at := start + w.Skip
		i := covering(members, at)
		if i < 0 {
			p.damage(w, w.Block, w.Count, "the tar archive has no file there")
			continue
		}
		used[i] = true
		if err := members[i].holds(w, at); err != nil {
			p.damage(w, w.Block, w.Count, "the tar archive: %v", err)
		}
	}
	for i, m := range members {
		switch {
		case m.dir:
			ix.found.addDir(m.name, m.mode)
		case m.size == 0:
			ix.found.addEmpty(m.name, m.mode)
		case !used[i]:
			p.damage(&wanted{path: m.name}, 0, 0, "the tar archive has it, and the index does not")
		}
	}
}

// holds says why a member is not what has a chunk at a place of the archive.
func (m *member) holds(w *wanted, at int64) error {
	switch {
	case m.name == w.path:
		switch {
		case m.size != w.size:
			return fmt.Errorf("it has %d bytes, and the index says %d", m.size, w.size)
		case at != m.start+w.Block*index.BlockSize:
			return fmt.Errorf("block %d lies at %d of it, which is not its place", w.Block, at-m.start)
		case m.mode != w.mode&0o7777 || m.mtime != w.mtime:
			return fmt.Errorf("it has the mode %o and the time %d, and the index says %o and %d", m.mode, m.mtime, w.mode, w.mtime)
		}
	case m.name == fmt.Sprintf("%s.blocks-%010d", w.path, w.Block):
		if m.start != at || m.size != w.bytes() {
			return fmt.Errorf("%s begins at %d with %d bytes, and the index says %d with %d", m.name, m.start, m.size, at, w.bytes())
		}
	default:
		return errors.New("there lies " + strings.TrimSuffix(m.name, "/"))
	}
	return nil
}
