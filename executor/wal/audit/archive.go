package audit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// IdentityName is the file that tells an archive from a directory whose share is not mounted.
const IdentityName = "archive.json"

// Archive is the archive of one cluster at one target.
type Archive struct {
	Driver           storage.Driver
	Target           string // its name in reports
	Dir              string // at the target
	SystemIdentifier uint64
	SegmentSize      int64 // bytes
	// Open gives the plain content of a stored file, named from the target's root. It
	// checks what checksums the stored form has, at the latest at the end.
	Open func(ctx context.Context, name string) (io.ReadCloser, error)
	// Split takes the extension off a stored file's name, "" when it is stored as it is.
	// A name that has none of the extensions comes back whole.
	Split func(stored string) (plain, ext string)
	// KeyMissing, unless nil, says that an error of Open is for want of a key, which is
	// no damage.
	KeyMissing func(err error) bool
}

// object is one stored file.
type object struct {
	name string // relative to the archive's directory
	ext  string
	file postgres.WALFile
	size int64
}

func (a *Archive) path(rel string) string {
	if rel == "" {
		return a.Dir
	}
	if a.Dir == "" {
		return rel
	}
	return a.Dir + "/" + rel
}

// number is a segment's number; see span.
func (a *Archive) number(f postgres.WALFile) (uint64, error) {
	start, err := f.Start(a.SegmentSize)
	return uint64(start) / uint64(a.SegmentSize), err
}

// alive makes sure that the target answers and that the archive is still there.
func (a *Archive) alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	_, err := a.Driver.Stat(ctx, a.path(IdentityName))
	if errors.Is(err, storage.ErrNotExist) {
		// Not %w: that the archive is gone says nothing of the file that was asked for.
		return fmt.Errorf("%s: the archive's %s is not there: it has not been initialised, or a share is not mounted", a.Driver, a.path(IdentityName))
	}
	return err
}

// parse says what a file in the archive is. dir is the directory it lies in, "" for the
// top; problem is why it doesn't belong there.
func (a *Archive) parse(dir, stored string) (o object, problem string) {
	o.name = stored
	if dir != "" {
		o.name = dir + "/" + stored
	}
	plain, ext := a.Split(stored)
	f, err := postgres.ClassifyWALName(plain)
	if err != nil {
		return o, "this is no name of a file of a WAL archive"
	}
	o.file, o.ext = f, ext
	if f.Kind == postgres.WALHistory {
		if dir != "" {
			return o, "a history file belongs into the archive's top directory, and is not found here"
		}
		return o, ""
	}
	if _, err := a.number(f); err != nil {
		return o, err.Error()
	}
	if dir != f.Name[:16] {
		return o, fmt.Sprintf("it belongs into the directory %s, and is not found here", f.Name[:16])
	}
	return o, ""
}

// readSmall reads a stored file that cannot be large.
func (a *Archive) readSmall(ctx context.Context, rel string) ([]byte, error) {
	r, err := a.Open(ctx, a.path(rel))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, postgres.MaxNoteSize+1))
	if err == nil && len(text) > postgres.MaxNoteSize {
		err = errTooLarge
	}
	return text, errors.Join(err, r.Close())
}

var errTooLarge = errors.New("it is too large for a file of its kind")
