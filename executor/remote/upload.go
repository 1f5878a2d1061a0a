package remote

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// uploadInline is up to how many bytes a content is written by WriteFile, in one go.
const uploadInline = 64 << 10

// receiveScript unpacks its input to the temporary name and tells the checksum of what
// is on disk. gzip notices an input that ends early. $1 to $5 are as in writeScript.
const receiveScript = failScript + `[ -z "$5" ] || mkdir -p "$3" || exit
set -C
: >"$t" || exit
set +C
gzip -dc >"$t" || fail
sha256sum <"$t" || fail
`

const finishScript = failScript + publishScript

// Upload is WriteFile for a stream of any length, packed with gzip on its way. The file
// is put in its place only after its checksum, computed at the other end, is right.
func Upload(ctx context.Context, h Host, file string, r io.Reader, o FileOptions) error {
	head := bufio.NewReaderSize(r, uploadInline)
	start, err := head.Peek(uploadInline)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: write %s: reading the content: %w", h.Name(), file, err)
	}
	if err == io.EOF {
		return WriteFile(ctx, h, file, start, o)
	}
	args, err := writeArgs(file, o)
	if err != nil {
		return fmt.Errorf("%s: write %s: %w", h.Name(), file, err)
	}
	sum := sha256.New()
	packed, pipe := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// gzip writes some hundred bytes at a time; each would be a packet of its own.
		out := bufio.NewWriterSize(pipe, 32<<10)
		z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
		if err == nil {
			if _, err = io.Copy(io.MultiWriter(z, sum), head); err == nil {
				err = errors.Join(z.Close(), out.Flush())
			}
		}
		pipe.CloseWithError(err)
	}()
	res, err := script(ctx, h, o.As, "write "+shownPath(file), receiveScript, packed, args...)
	packed.CloseWithError(errors.New("the command at the other end is over"))
	select {
	case <-done: // r is not read any more
	case <-ctx.Done():
	}
	if err != nil {
		return pathError(h, "write", file, err)
	}
	publish := finishScript
	if got, _, _ := strings.Cut(string(res.Stdout), " "); got != hex.EncodeToString(sum.Sum(nil)) {
		publish = `rm -f "$2"; exit 74`
	}
	_, err = script(ctx, h, o.As, "publish "+shownPath(file), publish, nil, args...)
	return pathError(h, "write", file, err)
}
