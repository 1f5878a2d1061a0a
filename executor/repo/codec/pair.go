package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// Sizes of plain content, in bytes, that are encoded in two halves at once. Smaller ones
// are done before a second processor has begun, and of larger ones the half that is kept
// in memory would be too much.
const (
	pairMin = 1 << 20
	pairMax = 64 << 20
)

// Encode writes the object of a content to w: what Writer gives, in one go. The first size
// bytes of r are the content; that there are less is an error. sum is as in Writer.
//
// With halves the content may be encoded as a pair of zstd frames, by two processors at
// once, when nothing else is being encoded and nothing encrypted. Such an object begins
// with a skippable frame (RFC 8878, section 3.1.2) that announces the size of the content,
// since of a pair that is cut between its frames the remains are a whole frame: see
// announcement. Other programs pass over it.
func (c *Codec) Encode(w io.Writer, r io.ReaderAt, size int64, sum [32]byte, halves bool) error {
	alone := c.encoding.Add(1) == 1
	defer c.encoding.Add(-1)
	if halves && alone && c.write.ext == pairExt && len(c.wrap) == 0 && size >= pairMin && size <= pairMax && runtime.GOMAXPROCS(0) > 1 {
		return c.pair(w, r, size)
	}
	return c.part(w, r, 0, size, sum)
}

// part writes what a Writer gives for a part of r.
func (c *Codec) part(w io.Writer, r io.ReaderAt, from, to int64, sum [32]byte) error {
	out, err := c.Writer(w, sum)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.NewSectionReader(r, from, to-from))
	if err == nil && n != to-from {
		err = fmt.Errorf("the file ended %d bytes early", to-from-n) // wraps nothing that could be taken for the end
	}
	if err != nil {
		out.Close() //nolint:errcheck // given up; what it writes is no whole object to anybody
		return err
	}
	return out.Close()
}

// pair writes a content as two frames, behind the announcement of its size.
func (c *Codec) pair(w io.Writer, r io.ReaderAt, size int64) error {
	half := size / 2
	var second bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- c.part(&second, r, half, size, [32]byte{}) }()
	_, err := w.Write(announce(size))
	if err == nil {
		err = c.part(w, r, 0, half, [32]byte{})
	}
	if err := errors.Join(err, <-ended); err != nil {
		return err
	}
	_, err = w.Write(second.Bytes())
	return err
}

// pairExt is the extension of objects that may be pairs.
const pairExt = ".zst"

// The announcement is a skippable frame: its magic number, the size of what follows, our
// mark, and the size of the object's plain content in bytes; little-endian.
const (
	skippable        = 0x184D2A5B
	announcementMark = "pgmsize\x01"
	announcementSize = 4 + 4 + len(announcementMark) + 8
)

func announce(size int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippable)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(announcementMark)+8))
	b = append(b, announcementMark...)
	return binary.LittleEndian.AppendUint64(b, uint64(size))
}

// announced reads the announcement that an object may start with.
func announced(start []byte) (size uint64, ok bool) {
	if len(start) < announcementSize || !bytes.Equal(start[:announcementSize-8], announce(0)[:announcementSize-8]) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(start[announcementSize-8:]), true
}
