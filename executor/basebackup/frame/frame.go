// Package frame compresses and decompresses the frames of a backup's parts, and sums their
// blocks. Package basebackup describes the form.
package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"pg_manage/executor/basebackup/index"
)

// Max is the most content that a frame has, in bytes.
const Max = 1 << 20

// castagnoli is a constant table, as the standard library makes it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum appends the sum of one block.
func Sum(dst, block []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(block, castagnoli))
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(block))
}

// Sums appends the sums of all blocks of content, which begins with a block's first byte.
func Sums(dst, content []byte) []byte {
	for len(content) > 0 {
		n := min(len(content), index.BlockSize)
		dst = Sum(dst, content[:n])
		content = content[n:]
	}
	return dst
}

// Coder compresses and decompresses frames in one way. It is for one goroutine; what it
// holds (some MB) is reused from frame to frame.
type Coder struct {
	method string
	enc    *zstd.Encoder
	dec    *zstd.Decoder
	gzip   *gzip.Writer
	gunzip gzip.Reader
	lz4    *lz4.Writer
	unlz4  *lz4.Reader
}

// NewCoder gives a coder for a compression: zstd (also when empty), lz4, gzip or none.
func NewCoder(compression string) (*Coder, error) {
	c := &Coder{method: compression}
	var err error
	switch compression {
	case "", "zstd":
		c.method = "zstd"
	case "lz4":
		c.lz4 = lz4.NewWriter(nil)
		err = c.lz4.Apply(lz4.ConcurrencyOption(1), lz4.ChecksumOption(true), lz4.BlockSizeOption(lz4.Block1Mb))
		c.unlz4 = lz4.NewReader(nil)
	case "gzip":
		c.gzip, err = gzip.NewWriterLevel(nil, gzip.BestSpeed)
	case "none":
	default:
		err = fmt.Errorf("%q is no compression: use one of zstd, lz4, gzip, none", compression)
	}
	return c, err
}

// Encode appends the frame of content, which is at most Max bytes.
func (c *Coder) Encode(dst, content []byte) ([]byte, error) {
	switch c.method {
	case "zstd":
		if c.enc == nil {
			var err error
			if c.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(512<<10), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true)); err != nil {
				return nil, err
			}
		}
		return c.enc.EncodeAll(content, dst), nil
	case "lz4":
		w := bytes.NewBuffer(dst)
		c.lz4.Reset(w)
		return finish(c.lz4, content, w)
	case "gzip":
		w := bytes.NewBuffer(dst)
		c.gzip.Reset(w)
		return finish(c.gzip, content, w)
	}
	return append(dst, content...), nil
}

func finish(enc io.WriteCloser, content []byte, w *bytes.Buffer) ([]byte, error) {
	if _, err := enc.Write(content); err != nil {
		return nil, err
	}
	err := enc.Close()
	return w.Bytes(), err
}

// Decode appends the content of a frame. Content of more than Max bytes is an error, as is
// a checksum that does not fit.
func (c *Coder) Decode(dst, frame []byte) ([]byte, error) {
	var r io.Reader
	switch c.method {
	case "zstd":
		if c.dec == nil {
			var err error
			if c.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(Max)); err != nil {
				return nil, err
			}
		}
		return c.dec.DecodeAll(frame, dst)
	case "lz4":
		c.unlz4.Reset(bytes.NewReader(frame))
		r = c.unlz4
	case "gzip":
		if err := c.gunzip.Reset(bytes.NewReader(frame)); err != nil {
			return nil, err
		}
		r = &c.gunzip
	default:
		r = bytes.NewReader(frame)
	}
	w := bytes.NewBuffer(dst)
	n, err := io.Copy(w, io.LimitReader(r, Max+1))
	if err == nil && n > Max {
		err = fmt.Errorf("a frame holds more than %d bytes", Max)
	}
	return w.Bytes(), err
}
