package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/repo/storage"
)

// readers is how many backups are looked at at once.
const readers = 8

// Entry is a backup in the catalogue.
type Entry struct {
	Info
	Pinned bool      `json:"pinned,omitempty"`
	Proven time.Time `json:"proven,omitzero"` // newest proof
	// Broken is why the backup cannot be restored, as far as names, sizes and backup.json
	// tell; "" when nothing speaks against it. Of one whose backup.json is damaged nothing
	// but Label, Kind and StartTime is known, from the label.
	Broken string `json:"broken,omitempty"`

	unread bool // nothing is known of it
}

// damagedError is a file that is not what was stored, however often it is read.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }

func (e *damagedError) Unwrap() error { return e.err }

// List gives all backups, sorted by the time when they were begun. It reads each one's
// backup.json, and the names and sizes of its files. Those that cannot be restored are
// among them, and say why. An error says that the target could not be read; a target that
// has nothing of this cluster has no backups.
func (c *Catalog) List(ctx context.Context) ([]Entry, error) {
	folders, err := c.look(ctx)
	return entries(folders), err
}

// Unfinished gives the labels of directories that hold files and no backup.json: of
// backups that are being taken, or whose writer died, or that were not removed to the end.
func (c *Catalog) Unfinished(ctx context.Context) ([]string, error) {
	folders, err := c.look(ctx)
	var unfinished []string
	for _, f := range folders {
		if f.entry == nil && len(f.files) > 0 {
			unfinished = append(unfinished, f.label)
		}
	}
	return unfinished, err
}

// folder is what one directory of a backup holds.
type folder struct {
	label string
	files []storage.Info
	entry *Entry // nil: there is no backup.json
}

// claimed says that somebody has begun it.
func (f *folder) claimed() bool {
	return slices.ContainsFunc(f.files, func(i storage.Info) bool { return i.Name == claimName })
}

// Needs gives what List does, and the labels of Unfinished that somebody has begun and
// neither completed nor given up, from one look: a backup that is completed meanwhile is
// in one of the two. What those that are begun need, such as WAL, is not known; those of
// dead writers are among them until Sweep.
func (c *Catalog) Needs(ctx context.Context) (all []Entry, begun []string, err error) {
	folders, err := c.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range folders {
		if f.entry == nil && f.claimed() {
			begun = append(begun, f.label)
		}
	}
	return entries(folders), begun, nil
}

// Begun is the second of what Needs gives.
func (c *Catalog) Begun(ctx context.Context) ([]string, error) {
	_, begun, err := c.Needs(ctx)
	return begun, err
}

func (c *Catalog) look(ctx context.Context) ([]folder, error) {
	folders, err := c.folders(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: looking for the backups of %s: %w", c.d, c.dir, err)
	}
	return folders, nil
}

// entries gives the backups of all directories, judged and sorted.
func entries(folders []folder) (all []Entry) {
	for _, f := range folders {
		if f.entry != nil {
			all = append(all, *f.entry)
		}
	}
	judge(all)
	slices.SortStableFunc(all, func(a, b Entry) int { return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.Label, b.Label)) })
	return all
}

// folders reads all directories whose names are labels, in their order.
func (c *Catalog) folders(ctx context.Context) ([]folder, error) {
	labels, err := c.labels(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]folder, len(labels))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, label := range labels {
		g.Go(func() (err error) {
			out[i], err = c.folder(gctx, label)
			return err
		})
	}
	return out, g.Wait()
}

func (c *Catalog) labels(ctx context.Context) (labels []string, err error) {
	top, err := c.d.List(ctx, c.dir)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, nil
	}
	for _, i := range top {
		if i.Dir && checkLabel(i.Name) == nil {
			labels = append(labels, i.Name)
		}
	}
	return labels, err
}

// folder reads one directory. One that is gone is empty.
func (c *Catalog) folder(ctx context.Context, label string) (folder, error) {
	f := folder{label: label}
	files, err := c.d.List(ctx, c.path(label, ""))
	if errors.Is(err, storage.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.files = slices.DeleteFunc(files, func(i storage.Info) bool { return i.Dir })
	if !slices.ContainsFunc(f.files, func(i storage.Info) bool { return i.Name == infoName }) {
		return f, nil
	}
	i, err := c.read(ctx, label)
	var damaged *damagedError
	switch {
	case errors.Is(err, storage.ErrNotExist): // it is being removed
		return f, nil
	case errors.As(err, &damaged):
		f.entry = nameless(label, err)
	case err != nil:
		return f, err
	default:
		f.entry = &Entry{Info: *i, Broken: i.lacks(f.files)}
	}
	f.entry.Pinned, f.entry.Proven = marks(f.files)
	return f, nil
}

// nameless is what is known of a backup whose backup.json cannot be read.
func nameless(label string, why error) *Entry {
	e := &Entry{Info: Info{Label: label, Kind: Full}, Broken: why.Error(), unread: true}
	if strings.HasSuffix(label, "-incr") {
		e.Kind = Incremental
	}
	begun, _, _ := strings.Cut(label, "-")
	if t, err := time.Parse(TimeForm, begun); err == nil {
		e.StartTime = t
	}
	return e
}

// read reads a backup.json. When it can't be read while the target answers otherwise,
// that is damage too.
func (c *Catalog) read(ctx context.Context, label string) (*Info, error) {
	var damaged *damagedError
	text, err := c.readSmall(ctx, label, infoName)
	if err != nil && !errors.Is(err, storage.ErrNotExist) && !errors.As(err, &damaged) {
		if text, err = c.again(ctx, label, err); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	i, err := DecodeInfo(text)
	if err == nil && i.Label != label {
		err = fmt.Errorf("%s is that of %s, in the directory of another", infoName, i.Label)
	}
	if err != nil {
		return nil, &damagedError{err}
	}
	return i, nil
}

// again tries once more to read a backup.json, and tells an outage from damage.
func (c *Catalog) again(ctx context.Context, label string, first error) ([]byte, error) {
	if ctx.Err() != nil || errors.Is(first, storage.ErrLost) {
		return nil, first
	}
	text, err := c.readSmall(ctx, label, infoName)
	if err == nil || errors.Is(err, storage.ErrNotExist) || ctx.Err() != nil || errors.Is(err, storage.ErrLost) {
		return text, err
	}
	if _, lerr := c.d.List(ctx, c.path(label, "")); lerr != nil {
		return nil, errors.Join(err, lerr)
	}
	return nil, &damagedError{fmt.Errorf("%s cannot be read: %w", infoName, err)}
}

// lacks says which object is not there as it should be.
func (i *Info) lacks(files []storage.Info) string {
	sizes := make(map[string]int64, len(files))
	for _, f := range files {
		if !f.Dir {
			sizes[f.Name] = f.Size
		}
	}
	for _, o := range i.objects() {
		switch size, ok := sizes[o.Name]; {
		case !ok:
			return o.Name + " is missing"
		case size != o.Size:
			return fmt.Sprintf("%s has %d bytes instead of %d", o.Name, size, o.Size)
		}
	}
	return ""
}

// marks gives what the names of files say of a backup.
func marks(files []storage.Info) (pinned bool, proven time.Time) {
	for _, f := range files {
		if f.Name == pinName {
			pinned = true
		}
		if t, ok := proofTime(f.Name); ok && t.After(proven) {
			proven = t
		}
	}
	return pinned, proven
}

// judge marks the incremental backups whose chain of parents is not whole.
func judge(all []Entry) {
	byLabel := make(map[string]*Entry, len(all))
	for i := range all {
		byLabel[all[i].Label] = &all[i]
	}
	judged := make(map[string]bool, len(all))
	for i := range all {
		judgeChain(byLabel, &all[i], judged)
	}
}

func judgeChain(all map[string]*Entry, e *Entry, judged map[string]bool) {
	var chain []*Entry // up to the first whose state is known, newest first
	for e != nil && !judged[e.Label] {
		judged[e.Label] = true
		chain = append(chain, e)
		if e.Broken != "" || e.Kind == Full {
			break
		}
		parent := all[e.Parent]
		e.Broken = e.refuses(parent)
		if e.Broken == "" && slices.Contains(chain, parent) {
			e.Broken = "its parents form a circle"
		}
		e = parent
	}
	for i := len(chain) - 1; i >= 0; i-- {
		e := chain[i]
		if e.Broken == "" && e.Kind == Incremental {
			e.Broken = inherited(all[e.Parent])
		}
	}
}

// inherited is what is wrong with a backup whose parent is p.
func inherited(p *Entry) string {
	if p.Broken == "" {
		return ""
	}
	why := p.Broken
	if !strings.HasPrefix(why, parentPrefix) {
		why = parentPrefix + p.Label + ": " + why
	}
	return why
}

const parentPrefix = "its chain of parents is broken at "

// refuses says why p, nil when there is none, cannot be the parent of e. That p seems to be
// the younger one is no reason: clocks differ, and a standby may lag behind.
func (e *Entry) refuses(p *Entry) string {
	switch {
	case p == nil:
		return "its parent " + e.Parent + " is missing"
	case p.unread:
		return ""
	case p.SystemIdentifier != e.SystemIdentifier:
		return "its parent " + e.Parent + " is of another database cluster"
	}
	return ""
}

// Info describes one backup, as List does. One that is not there is storage.ErrNotExist.
func (c *Catalog) Info(ctx context.Context, label string) (*Entry, error) {
	chain, err := c.chain(ctx, label)
	if err != nil {
		return nil, c.fail("looking at", label, err)
	}
	judge(chain)
	return &chain[0], nil
}

// chain reads a backup and, of incremental ones, the parents, as far as they are there; the
// newest first.
func (c *Catalog) chain(ctx context.Context, label string) (chain []Entry, err error) {
	for next := label; ; {
		if err := checkLabel(next); err != nil {
			return nil, err
		}
		f, err := c.folder(ctx, next)
		switch {
		case err != nil:
			return nil, err
		case f.entry == nil && len(chain) == 0:
			return nil, fmt.Errorf("there is no %s: %w", infoName, storage.ErrNotExist)
		case f.entry == nil:
			return chain, nil
		}
		chain = append(chain, *f.entry)
		next = f.entry.Parent
		if next == "" || slices.ContainsFunc(chain, func(e Entry) bool { return e.Label == next }) {
			return chain, nil
		}
	}
}

// Chain gives a backup and all that it builds on, the full one first. When one of them is
// missing or broken that is an error, which names it.
func (c *Catalog) Chain(ctx context.Context, label string) ([]*Info, error) {
	chain, err := c.chain(ctx, label)
	if err == nil {
		judge(chain)
		if chain[0].Broken != "" {
			err = errors.New("it cannot be restored: " + chain[0].Broken)
		}
	}
	if err != nil {
		return nil, c.fail("reading", label, err)
	}
	out := make([]*Info, len(chain))
	for i := range chain {
		out[len(chain)-1-i] = &chain[i].Info
	}
	return out, nil
}

// proofTime is the time in the name of a proof.
func proofTime(name string) (time.Time, bool) {
	text, ok := strings.CutPrefix(name, "proven-")
	if !ok || path.Ext(text) != ".json" {
		return time.Time{}, false
	}
	t, err := time.Parse(TimeForm, strings.TrimSuffix(text, ".json"))
	return t, err == nil
}
