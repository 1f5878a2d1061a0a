package wal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// storedAs is a file that is at the target already, under a name of another form.
type storedAs struct{ name string }

func (e *storedAs) Error() string { return e.name + " is there already" }

// store makes a file durable at the target under its final name. A file that is there
// already is left as it is: the same content is success, other content a *RefusedError.
func (s *site) store(ctx context.Context, src *source, system uint64) error {
	c := s.forms.of(src.f)
	r, err := src.encoded(c)
	if err != nil {
		return err
	}
	name := s.name(src.f)
	err = s.put(ctx, name, r, func(ctx context.Context) error { return s.admit(ctx, src, system) })
	var as *storedAs
	switch {
	case err == nil:
		s.sweep(ctx, src.f)
		return nil
	case errors.As(err, &as):
		name = as.name
	case !errors.Is(err, storage.ErrExists):
		return err
	}
	return s.compare(ctx, name, src)
}

// admit says whether a file may be published: the archive is the cluster's, its
// segments have this size, and none of this name is there in another form.
func (s *site) admit(ctx context.Context, src *source, system uint64) error {
	id, err := s.verify(ctx, system)
	if err != nil {
		return err
	}
	if src.f.IsSegment() && src.size != id.SegmentSize {
		return refuse("%s has %d bytes, and the archive's segments have %d", src.path, src.size, id.SegmentSize)
	}
	other, err := s.otherForm(ctx, src.f)
	if err == nil && other != "" {
		return &storedAs{other}
	}
	return err
}

// put stores what r gives, unless admit objects. Where the target is away, its answer
// is waited for only at the end of the content, before the file gets its name, so that
// asking costs no time.
func (s *site) put(ctx context.Context, name string, r io.ReadCloser, admit func(context.Context) error) error {
	defer r.Close() //nolint:errcheck // a pipe's reading end
	if s.local() {
		if err := admit(ctx); err != nil {
			return err
		}
		if err := s.d.Put(ctx, name, r); err != nil {
			return err
		}
		// Once more: a share may have been unmounted in between, and the file have landed on the disk below.
		return admit(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	verdict := make(chan error, 1)
	go func() { verdict <- admit(ctx) }()
	g := &gate{r: r, verdict: verdict}
	err := s.d.Put(ctx, name, g)
	switch {
	case g.failed != nil:
		return g.failed
	case g.verdict != nil && (err == nil || errors.Is(err, storage.ErrExists)):
		// The driver knew without reading to the end; the verdict counts all the same.
		if refused := <-verdict; refused != nil {
			return refused
		}
	}
	return err
}

// gate lets the end of a file through only after a verdict. Drivers read ahead, in
// blocks, and some take whatever wraps io.EOF for the end and then publish. So the end
// never comes along with data, and no failure looks like one or goes away.
type gate struct {
	r       io.Reader
	held    error // what came along with data
	verdict <-chan error
	failed  error // of the content, or the verdict
}

func (g *gate) Read(b []byte) (int, error) {
	if g.failed != nil {
		return 0, &opaque{g.failed}
	}
	n, err := 0, g.held
	if err == nil {
		n, err = g.r.Read(b)
	}
	switch {
	case err == nil || n > 0:
		g.held = err
		return n, nil
	case err != io.EOF: //nolint:errorlint // a reader's own
		g.failed = err
	case g.verdict != nil:
		g.failed = <-g.verdict
		g.verdict = nil
	}
	if g.failed != nil {
		return 0, &opaque{g.failed}
	}
	return 0, io.EOF
}

// opaque hides what an error wraps.
type opaque struct{ err error }

func (e *opaque) Error() string { return e.err.Error() }

// compare makes sure that what is stored under a name is the source's content, and
// durable.
func (s *site) compare(ctx context.Context, name string, src *source) error {
	same, err := s.holds(ctx, name, src)
	if err != nil {
		return err
	}
	if !same {
		return refuse("%s: %s is archived already with OTHER content, and what is stored stays untouched: two instances archive into one place, or a copy was promoted; give one of them an archive of its own", s.d, name)
	}
	return s.d.Sync(ctx, name)
}

// holds says whether the target has the source's content under a name. A node that
// can only encrypt goes by the checksum in the stored file's header.
func (s *site) holds(ctx context.Context, name string, src *source) (bool, error) {
	r, err := s.openStored(ctx, name)
	var noKey *codec.NoIdentityError
	if errors.As(err, &noKey) {
		return s.holdsSum(ctx, name, src)
	}
	if err != nil {
		return false, err
	}
	same, remote, local := src.same(r)
	if remote != nil {
		err := fmt.Errorf("%s: %s is stored already and cannot be read, so it may be damaged: %w", s.d, name, remote)
		var damaged *codec.DamagedError
		if errors.As(remote, &damaged) {
			err = refuse("%w: see `pg_manage archive check`; once the damaged file is moved away, this one takes its place", err)
		}
		return false, errors.Join(err, r.Close())
	}
	return same, errors.Join(local, r.Close())
}

func (s *site) holdsSum(ctx context.Context, name string, src *source) (bool, error) {
	own, err := src.hash()
	if err != nil {
		return false, err
	}
	r, err := s.d.Open(ctx, name)
	if err != nil {
		return false, err
	}
	sum, ok, err := codec.StoredSum(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return false, fmt.Errorf("%s: %s: %w", s.d, name, err)
	}
	if !ok {
		return false, refuse("%s: %s is stored already, and whether it is the same file only its private key can tell: set age_identity_file of target %q on this node, or move the stored file away", s.d, name, s.t.Name)
	}
	return sum == own, nil
}
