package pack

import (
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// reader reads a stream of frames.
func reader(t *testing.T, compression string, r io.Reader) io.Reader {
	t.Helper()
	switch compression {
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	case "lz4":
		return &frames4{r: lz4.NewReader(r), src: r}
	case "gzip":
		d, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return r
}

// frames4 goes on behind the end of an LZ4 frame.
type frames4 struct {
	r   *lz4.Reader
	src io.Reader
}

func (f *frames4) Read(b []byte) (int, error) { return f.r.Read(b) }
