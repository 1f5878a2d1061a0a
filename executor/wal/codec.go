package wal

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// window is the largest distance that the encoder looks back: larger ones cost page
// faults and gain nothing on WAL.
const window = 512 << 10

// compress gives the zstd form of what r gives, as it is read. Closing it early ends
// the encoder.
func compress(r io.Reader) io.ReadCloser {
	pr, pw := io.Pipe()
	go func() {
		enc, err := zstd.NewWriter(pw, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
		if err == nil {
			if _, err = io.Copy(enc, r); err == nil {
				err = enc.Close()
			}
		}
		pw.CloseWithError(err)
	}()
	return pr
}

// decompress reads the zstd form, checking its checksum. The decoder takes no more
// memory than a window of this size needs, whatever the file claims.
func decompress(r io.Reader) (io.ReadCloser, error) {
	dec, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return &whole{dec.IOReadCloser()}, nil
}

// whole tells a file that is cut short from one that ends: the decoder's error for it
// is the one that io.ReadFull gives at an ordinary end.
type whole struct{ io.ReadCloser }

func (w *whole) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCutShort
	}
	return n, err
}

var errCutShort = errors.New("the compressed file is cut short")
