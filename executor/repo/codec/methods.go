package codec

import (
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// window is the largest distance that the zstd encoder looks back: larger ones cost
	// page faults and gain nothing on WAL.
	window = 512 << 10
	// maxWindow bounds the memory that a zstd file can claim. `zstd` without --long
	// or --ultra needs no more.
	maxWindow = 8 << 20
)

func newZstdEncoder() (encoder, error) {
	// One worker compresses in the caller's goroutine: segments are what runs in parallel.
	// A zero frame makes an empty file a whole one, which a cut to nothing isn't.
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true))
}

type zstdDecoder struct{ *zstd.Decoder }

func newZstdDecoder() (decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	return zstdDecoder{d}, err
}

func (d zstdDecoder) reset(r io.Reader) error { return d.Reset(r) }

func newLz4Encoder() (encoder, error) {
	w := lz4.NewWriter(nil)
	return w, w.Apply(lz4.ConcurrencyOption(1), lz4.ChecksumOption(true), lz4.BlockSizeOption(lz4.Block1Mb))
}

type lz4Decoder struct{ *lz4.Reader }

func newLz4Decoder() (decoder, error) {
	r := lz4.NewReader(nil)
	return lz4Decoder{r}, r.Apply(lz4.ConcurrencyOption(1))
}

func (d lz4Decoder) reset(r io.Reader) error {
	d.Reset(r)
	return nil
}

func newGzipEncoder() (encoder, error) { return gzip.NewWriterLevel(nil, gzip.BestSpeed) }

// gzipDecoder reads the first header when it first reads.
type gzipDecoder struct {
	gzip.Reader
	src io.Reader
}

func newGzipDecoder() (decoder, error) { return new(gzipDecoder), nil }

func (d *gzipDecoder) reset(r io.Reader) error {
	d.src = r
	return nil
}

func (d *gzipDecoder) Read(b []byte) (int, error) {
	if d.src != nil {
		if err := d.Reset(d.src); err != nil {
			return 0, err
		}
		d.src = nil
	}
	return d.Reader.Read(b)
}
