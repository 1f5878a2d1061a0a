// Package verify reads a base backup, every byte of every object once, and compares all that
// is said about it: SHA-256 and sizes in backup.json, frames and sums of blocks in the index,
// the headers of the tar archives, and PostgreSQL's manifest.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// Options say how a backup is verified.
type Options struct {
	Workers   int                     // parts that are read at once; 0: as many as there are processors, at most 4
	Ancestors bool                    // verify the backups that it builds upon as well
	TempDir   string                  // for what must be remembered of the index; "" is the system's
	Progress  func(done, total int64) // bytes as stored; may be nil. Called from several goroutines
}

// Damage is one thing that is not as it should be.
type Damage struct {
	Backup string `json:"backup"`
	Object string `json:"object"`           // name of the stored file
	File   string `json:"file,omitempty"`   // path in the data directory
	Block  int64  `json:"block,omitempty"`  // the first one that is damaged, of File
	Blocks int64  `json:"blocks,omitempty"` // how many are; 0: Block says nothing
	What   string `json:"what"`
}

func (d Damage) String() string {
	s := d.Backup + ": " + d.Object
	if d.File != "" {
		s += ": " + d.File
	}
	switch {
	case d.Blocks == 1:
		s += fmt.Sprintf(", block %d", d.Block)
	case d.Blocks > 1:
		s += fmt.Sprintf(", blocks %d to %d", d.Block, d.Block+d.Blocks-1)
	}
	return s + ": " + d.What
}

// Report says what was found.
type Report struct {
	Label   string        `json:"label"`
	Backups []string      `json:"backups"` // that were verified, the newest first
	Objects int64         `json:"objects"`
	Bytes   int64         `json:"bytes"`             // read, as stored
	Files   int64         `json:"files"`             // of the newest backup
	Damages []Damage      `json:"damages,omitempty"` // the first 1000
	Damaged int64         `json:"damaged"`           // how many there are
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Sound says whether no damage was found.
func (r *Report) Sound() bool { return r.Damaged == 0 }

// maxDamages bounds the list of damages.
const maxDamages = 1000

// verifier is a verification under way.
type verifier struct {
	Options
	cat   *catalog.Catalog
	total int64
	done  atomic.Int64

	mu     sync.Mutex
	report Report
}

// Verify reads a backup. Damage is in the report, all of it that is there; an error says that
// something could not be read, so that nobody knows what it holds. The report then says
// what was found so far.
func Verify(ctx context.Context, cat *catalog.Catalog, label string, o Options) (*Report, error) {
	begun := time.Now()
	if o.Workers <= 0 {
		o.Workers = min(runtime.NumCPU(), 4)
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	v := &verifier{Options: o, cat: cat, report: Report{Label: label}}
	err := v.run(ctx, label)
	slices.SortFunc(v.report.Damages, byPlace)
	v.report.Elapsed = time.Since(begun)
	return &v.report, err
}

func byPlace(a, b Damage) int {
	if c := strings.Compare(a.Backup, b.Backup); c != 0 {
		return c
	}
	if c := strings.Compare(a.Object, b.Object); c != 0 {
		return c
	}
	if c := strings.Compare(a.File, b.File); c != 0 {
		return c
	}
	return int(max(-1, min(1, a.Block-b.Block)))
}

// add takes down a damage.
func (v *verifier) add(d Damage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.report.Damages, d) {
		return // of a backup that others build upon
	}
	v.report.Damaged++
	if len(v.report.Damages) < maxDamages {
		v.report.Damages = append(v.report.Damages, d)
	}
}

// run verifies a backup and, when asked to, all that it builds upon.
func (v *verifier) run(ctx context.Context, label string) error {
	entries, err := v.entries(ctx, label)
	if err != nil {
		return err
	}
	subject := entries
	if !v.Ancestors {
		subject = entries[:1]
	}
	for _, e := range subject {
		for _, o := range objects(&e.Info) {
			v.total += o.Size
		}
	}
	for _, e := range subject {
		v.report.Backups = append(v.report.Backups, e.Label)
	}
	v.Progress(0, v.total)
	for i := range subject {
		if err := v.backup(ctx, entries[i:]); err != nil {
			return err
		}
	}
	return nil
}

// entries gives a backup and those that it builds upon, the newest first, as far as they can
// be read. What is missing of its own, or in the chain, is taken down.
func (v *verifier) entries(ctx context.Context, label string) ([]*catalog.Entry, error) {
	var all []*catalog.Entry
	for next := label; next != ""; {
		e, err := v.cat.Info(ctx, next)
		if errors.Is(err, storage.ErrNotExist) && len(all) > 0 {
			return all, nil // taken down already: its child is broken by it
		}
		if err != nil {
			return nil, err
		}
		// What its own objects lack shows when they are read.
		if len(all) == 0 && (strings.HasPrefix(e.Broken, "its ") || e.Broken != "" && len(e.Parts) == 0) {
			v.add(Damage{Backup: e.Label, Object: "backup.json", What: e.Broken})
		}
		if slices.ContainsFunc(all, func(o *catalog.Entry) bool { return o.Label == e.Label }) {
			return all, nil
		}
		all = append(all, e)
		next = e.Parent
	}
	return all, nil
}

func objects(i *catalog.Info) []catalog.Object {
	all := slices.Clone(i.Parts)
	if i.Index.Name != "" {
		all = append(all, i.Index, i.Manifest)
	}
	return all
}

// backup verifies the first of some entries, of which the others are the ancestors.
func (v *verifier) backup(ctx context.Context, entries []*catalog.Entry) error {
	info := &entries[0].Info
	if len(info.Parts) == 0 {
		return nil // its backup.json could not be read, which was taken down
	}
	if info.Index.Name == "" || info.Manifest.Name == "" {
		v.add(Damage{Backup: info.Label, Object: "backup.json", What: "it names no index or no manifest"})
		return nil
	}
	ix, err := v.readIndex(ctx, info)
	if err != nil {
		return err
	}
	if ix != nil {
		defer ix.close()
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(v.Workers)
	for i := range info.Parts {
		g.Go(func() error { return v.part(gctx, info, i, ix) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ix != nil {
		v.checkTree(info, ix)
	}
	return v.manifest(ctx, entries, ix != nil)
}

// open opens an object whole. false says that it is damaged, which was taken down.
func (v *verifier) open(ctx context.Context, info *catalog.Info, o catalog.Object) (*object, bool, error) {
	r, err := v.cat.Whole(ctx, info.Label, o)
	if err != nil {
		return nil, false, v.sort(info, o, err)
	}
	v.mu.Lock()
	v.report.Objects++
	v.mu.Unlock()
	return &object{ctx: ctx, v: v, r: r}, true, nil
}

// sort takes an error down when it is damage, and gives it back when it is not.
func (v *verifier) sort(info *catalog.Info, o catalog.Object, err error) error {
	var bad *codec.DamagedError
	switch {
	case errors.As(err, &bad):
		v.add(Damage{Backup: info.Label, Object: o.Name, What: bad.Err.Error()})
		return nil
	case errors.Is(err, storage.ErrNotExist):
		v.add(Damage{Backup: info.Label, Object: o.Name, What: "it is missing"})
		return nil
	}
	return err
}

// object counts what is read of one.
type object struct {
	ctx   context.Context
	v     *verifier
	r     io.ReadCloser
	fault error // other than the end
}

func (o *object) Read(b []byte) (int, error) {
	if o.ctx.Err() != nil {
		o.fault = context.Cause(o.ctx)
		return 0, o.fault
	}
	n, err := o.r.Read(b)
	if err != nil && err != io.EOF {
		o.fault = err
	}
	o.v.mu.Lock()
	o.v.report.Bytes += int64(n)
	o.v.mu.Unlock()
	o.v.Progress(o.v.done.Add(int64(n)), o.v.total)
	return n, err
}

// tempFile makes a temporary file without a name.
func tempFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".pg_manage-verify-") // 0600
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, fmt.Errorf("make room for the index of a backup: %w", err)
	}
	return f, nil
}

// sums gives the sums of all blocks of the newest of some backups' files, when the whole
// chain can be read.
func (v *verifier) sums(ctx context.Context, entries []*catalog.Entry) (*chain.Chain, error) {
	var infos []*catalog.Info
	for _, e := range slices.Backward(entries) {
		infos = append(infos, &e.Info)
	}
	c, err := chain.Open(ctx, v.cat, infos, v.TempDir)
	var bad *chain.DamageError
	if errors.As(err, &bad) {
		v.add(Damage{Backup: bad.Backup, Object: bad.Object, What: bad.Err.Error()})
		return nil, nil
	}
	return c, err
}
