package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"pg_manage/executor/repo/storage"
)

// claim is begun.json, the first file of a backup: whoever stores it has the label.
type claim struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	Token   string    `json:"token"`            // of the writer, made up
	Parent  string    `json:"parent,omitempty"` // that the backup will build on
}

// writing is a label that this Catalog has begun, or is about to.
type writing struct {
	mu      sync.Mutex // held while the label is claimed
	token   string
	parent  string
	claimed bool

	objects map[string]Object // that were stored; guarded by the Catalog's mu
}

// Begin takes a label for a backup, before anything of it is stored. parent is the label
// of the backup that an incremental one builds on, which Remove leaves alone from now on,
// or "". A label that somebody has begun or used already is an error, which is
// storage.ErrExists.
func (c *Catalog) Begin(ctx context.Context, label, parent string) error {
	w, err := c.claim(ctx, label, parent)
	if err == nil && w.parent != parent {
		err = fmt.Errorf("it was begun with the parent %q, not %q", w.parent, parent)
	}
	if err == nil && parent != "" {
		if err = c.whole(ctx, parent); err != nil {
			err = fmt.Errorf("its parent: %w", err)
		}
	}
	return c.fail("beginning", label, err)
}

// whole makes sure that a backup can be restored as far as Info sees.
func (c *Catalog) whole(ctx context.Context, label string) error {
	e, err := c.Info(ctx, label)
	if err == nil && e.Broken != "" {
		err = fmt.Errorf("%s cannot be restored: %s", label, e.Broken)
	}
	return err
}

// claim makes sure that the label is this Catalog's.
func (c *Catalog) claim(ctx context.Context, label, parent string) (*writing, error) {
	if err := checkLabel(label); err != nil {
		return nil, err
	}
	c.mu.Lock()
	w := c.begun[label]
	if w == nil {
		w = &writing{token: rand.Text(), parent: parent, objects: map[string]Object{}}
		c.begun[label] = w
	}
	c.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claimed {
		return w, nil
	}
	text, err := json.Marshal(claim{Version, time.Now().UTC(), w.token, w.parent})
	if err != nil {
		return nil, err
	}
	err = c.d.Put(ctx, c.path(label, claimName), bytes.NewReader(append(text, '\n')))
	if errors.Is(err, storage.ErrExists) { // perhaps by a try of ours whose answer was lost
		err = c.ownClaim(ctx, label, w)
	}
	if err != nil {
		return nil, err
	}
	all, err := c.d.List(ctx, c.path(label, ""))
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Name != claimName {
			return nil, fmt.Errorf("%s is there already: %w", i.Name, storage.ErrExists)
		}
	}
	w.claimed = true
	return w, nil
}

// ownClaim makes sure that the claim on a label is ours and durable.
func (c *Catalog) ownClaim(ctx context.Context, label string, w *writing) error {
	own, err := c.owned(ctx, label, w)
	switch {
	case err != nil:
		return err
	case !own:
		return fmt.Errorf("another writer has begun it: %w", storage.ErrExists)
	}
	return c.d.Sync(ctx, c.path(label, claimName))
}

func (c *Catalog) owned(ctx context.Context, label string, w *writing) (bool, error) {
	k, err := c.readClaim(ctx, label)
	return err == nil && k.Token == w.token, err
}

func (c *Catalog) readClaim(ctx context.Context, label string) (claim, error) {
	var k claim
	text, err := c.readSmall(ctx, label, claimName)
	if err == nil {
		if jerr := json.Unmarshal(text, &k); jerr != nil {
			err = &damagedError{fmt.Errorf("%s: %w", claimName, jerr)}
		}
	}
	return k, err
}

// Create stores what r gives as an object of a backup, encrypted where the target has
// recipients, and streaming. The first one of a label begins the backup, unless Begin
// has. When it returns nil the object is durable.
func (c *Catalog) Create(ctx context.Context, label, name string, r io.Reader) (Object, error) {
	o, err := c.create(ctx, label, name, r)
	if err != nil {
		return Object{}, c.fail("storing "+name+" of", label, err)
	}
	return o, nil
}

func (c *Catalog) create(ctx context.Context, label, name string, r io.Reader) (Object, error) {
	if err := checkObjectName(name); err != nil {
		return Object{}, err
	}
	w, err := c.claim(ctx, label, "")
	if err != nil {
		return Object{}, err
	}
	src := &content{r: r}
	sealed, err := c.codec.Encrypt(src)
	if err != nil {
		return Object{}, err
	}
	sum := &summed{r: sealed, hash: sha256.New()}
	err = c.d.Put(ctx, c.path(label, name), sum)
	switch {
	case src.err != nil:
		return Object{}, src.err
	case err != nil:
		return Object{}, err
	case !sum.ended:
		return Object{}, errors.New("it was not read to its end")
	}
	o := Object{Name: name, Size: sum.size, SHA256: hex.EncodeToString(sum.hash.Sum(nil))}
	c.mu.Lock()
	defer c.mu.Unlock()
	w.objects[name] = o
	return o, nil
}

// content keeps the error that it was given, and gives one that nobody takes for the
// end: some drivers take whatever wraps io.EOF for it.
type content struct {
	r   io.Reader
	err error
}

func (s *content) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err == nil || err == io.EOF {
		return n, err
	}
	s.err = err
	return n, &opaque{err}
}

// opaque hides what an error wraps.
type opaque struct{ err error }

func (e *opaque) Error() string { return e.err.Error() }

// summed counts and hashes what passes.
type summed struct {
	r     io.Reader
	hash  hash.Hash
	size  int64
	ended bool
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.hash.Write(b[:n])
	s.size += int64(n)
	s.ended = s.ended || err == io.EOF
	return n, err
}

// Commit makes a backup of what was stored, by writing backup.json. The objects must be
// those that this Catalog has stored under the label, all of them, and an incremental
// backup's chain of parents must be whole. A label that is a backup already is an
// error, which is storage.ErrExists.
func (c *Catalog) Commit(ctx context.Context, i *Info) error {
	return c.fail("completing", i.Label, c.commit(ctx, i))
}

func (c *Catalog) commit(ctx context.Context, i *Info) error {
	text, err := i.Encode()
	if err != nil {
		return err
	}
	if _, err := DecodeInfo(text); err != nil {
		return err
	}
	there, err := c.stored(ctx, i)
	if err != nil {
		return err
	}
	if there {
		return c.committed(ctx, i.Label, text)
	}
	if i.Kind == Incremental {
		if err := c.whole(ctx, i.Parent); err != nil {
			return fmt.Errorf("its parent: %w", err)
		}
	}
	if err := c.d.Put(ctx, c.path(i.Label, infoName), bytes.NewReader(text)); err != nil {
		return err
	}
	if i.Kind == Incremental { // it may have been removed meanwhile
		if err := c.whole(ctx, i.Parent); err != nil {
			return errors.Join(fmt.Errorf("its parent: %w", err), c.d.Remove(ctx, c.path(i.Label, infoName)))
		}
	}
	return nil
}

// committed is for a backup that is complete already: that is well when it was by an
// earlier try whose answer was lost.
func (c *Catalog) committed(ctx context.Context, label string, text []byte) error {
	old, err := c.readSmall(ctx, label, infoName)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, text) {
		return fmt.Errorf("it is complete already: %w", storage.ErrExists)
	}
	return c.d.Sync(ctx, c.path(label, infoName))
}

// stored makes sure that the objects of a backup are what this Catalog has stored, and
// are there; and says whether its backup.json is.
func (c *Catalog) stored(ctx context.Context, i *Info) (complete bool, err error) {
	w, err := c.own(i)
	if err != nil {
		return false, err
	}
	there, err := c.d.List(ctx, c.path(i.Label, ""))
	if err != nil {
		return false, err
	}
	if lacks := i.lacks(there); lacks != "" {
		return false, errors.New(lacks)
	}
	own, err := c.owned(ctx, i.Label, w)
	if err == nil && !own {
		err = fmt.Errorf("another writer has begun it: %w", storage.ErrExists)
	}
	return slices.ContainsFunc(there, func(f storage.Info) bool { return f.Name == infoName }), err
}

// own makes sure that this Catalog has stored all objects of a backup.
func (c *Catalog) own(i *Info) (*writing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.begun[i.Label]
	if w == nil {
		return nil, errors.New("nothing was stored of it")
	}
	for _, o := range i.objects() {
		if w.objects[o.Name] != o {
			return nil, fmt.Errorf("%s was not stored with %d bytes and the SHA-256 %s", o.Name, o.Size, o.SHA256)
		}
	}
	return w, nil
}

// Abort takes away what this Catalog has stored of a backup that was not completed. Of a
// label that another writer has begun, or that nobody has, it takes nothing; one that is
// complete it refuses.
func (c *Catalog) Abort(ctx context.Context, label string) error {
	return c.fail("giving up", label, c.abort(ctx, label))
}

func (c *Catalog) abort(ctx context.Context, label string) error {
	if err := checkLabel(label); err != nil {
		return err
	}
	c.mu.Lock()
	w := c.begun[label]
	c.mu.Unlock()
	if w == nil {
		return nil
	}
	switch own, err := c.owned(ctx, label, w); {
	case errors.Is(err, storage.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !own:
		return nil
	}
	there, err := c.d.List(ctx, c.path(label, ""))
	if err != nil {
		return err
	}
	for _, f := range there {
		if f.Name == infoName {
			return errors.New("it is complete: remove it instead")
		}
	}
	if err := c.clear(ctx, label, there); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.begun, label)
	return nil
}
