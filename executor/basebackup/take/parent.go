package take

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

// parent is the backup that an incremental one builds upon. It is what package pack asks
// for what there is already.
type parent struct {
	info    *catalog.Info
	chain   *chain.Chain
	history []postgres.Branch // of the server's timeline
}

// File is part of pack.Previous.
func (p *parent) File(path string) (size int64, sums []byte, ok bool, err error) {
	f, ok, err := p.chain.File(path)
	if err != nil || !ok {
		return 0, nil, false, err
	}
	return f.Size, f.Sums, true, nil
}

func (p *parent) close() {
	p.chain.Close() //nolint:errcheck // a temporary file without a name
}

// findParent chooses the newest backup that serves as parent, or takes the one that is
// named. Without one it gives nil, and says why a full backup is taken.
func (o *Options) findParent(ctx context.Context, entries []catalog.Entry, f *facts, tli postgres.Timeline) (*parent, error) {
	history, err := o.history(tli)
	if err != nil {
		return nil, err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		if o.Parent != "" && e.Label != o.Parent {
			continue
		}
		if why := unfit(e, f, tli, history); why != "" {
			if o.Parent != "" {
				return nil, fmt.Errorf("%s cannot be the parent of this backup: %s", e.Label, why)
			}
			if e.Broken != "" {
				o.notice("%s cannot be built upon: %s", e.Label, why)
			}
			continue
		}
		p, err := o.openParent(ctx, e)
		if err == nil {
			p.history = history
			return p, nil
		}
		if o.Parent != "" || ctx.Err() != nil {
			return nil, fmt.Errorf("%s cannot be the parent of this backup: %w", e.Label, err)
		}
		o.notice("a full backup is taken instead of an incremental one, since %s cannot be built upon now: %v", e.Label, err)
		return nil, nil
	}
	if o.Parent != "" {
		return nil, fmt.Errorf("there is no backup %s that this one could build upon", o.Parent)
	}
	o.notice("a full backup is taken, since there is none that an incremental one could build upon")
	return nil, nil
}

// unfit says why a backup cannot be built upon; "" when it can.
func unfit(e *catalog.Entry, f *facts, tli postgres.Timeline, history []postgres.Branch) string {
	have := strconv.FormatUint(f.control.SystemIdentifier, 10)
	switch {
	case e.Broken != "":
		return e.Broken
	case e.SystemIdentifier != have:
		return fmt.Sprintf("it is of the system %s, and this is %s", e.SystemIdentifier, have)
	case majorOf(e.PostgreSQL) != majorOf(f.version):
		return fmt.Sprintf("it is of PostgreSQL %s, and this is %s", e.PostgreSQL, f.version)
	case e.Timeline == tli:
		return ""
	}
	for _, b := range history {
		if b.Timeline == e.Timeline {
			if e.StopLSN <= b.End {
				return ""
			}
			return fmt.Sprintf("it ends at %s, and this server left its timeline %d at %s already", e.StopLSN, b.Timeline, b.End)
		}
	}
	return fmt.Sprintf("it is of timeline %d, which does not lead to this server's timeline %d", e.Timeline, tli)
}

func (o *Options) openParent(ctx context.Context, e *catalog.Entry) (*parent, error) {
	infos, err := o.Catalog.Chain(ctx, e.Label)
	if err != nil {
		return nil, err
	}
	c, err := chain.Open(ctx, o.Catalog, infos, o.StateDir)
	if err != nil {
		return nil, err
	}
	return &parent{info: infos[len(infos)-1], chain: c}, nil
}

// history reads how the server came to its timeline. A history file that is gone leaves
// the timeline alone.
func (o *Options) history(tli postgres.Timeline) ([]postgres.Branch, error) {
	text, err := o.historyText(tli)
	if err != nil || text == nil {
		return nil, err
	}
	return postgres.ParseHistory(tli, string(text))
}

// historyText is the server's history file of a timeline; nil: it has none.
func (o *Options) historyText(tli postgres.Timeline) ([]byte, error) {
	if tli <= 1 {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(o.Server.DataDir, "pg_wal", postgres.HistoryName(tli)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// sameTimeline says whether the server, which is on tli, came along the parent's timeline: two
// promotions that did not know of each other give two timelines the same number. That is no
// reason against the parent, but WAL of one tells nothing of the other.
func (p *parent) sameTimeline(o *Options, tli postgres.Timeline) (bool, error) {
	if p.info.Timeline <= 1 {
		return true, nil
	}
	text, err := o.historyText(tli)
	if err != nil {
		return false, err
	}
	size, sums, ok, err := p.File("pg_wal/" + postgres.HistoryName(p.info.Timeline))
	if err != nil || !ok {
		return false, err
	}
	return begins(text, size, sums), nil
}

// begins says whether a history file begins with one of which the size and the sums are known:
// a timeline's has that of its parent in front (timeline.c, writeTimeLineHistory).
func begins(text []byte, size int64, sums []byte) bool {
	return size > 0 && size <= int64(len(text)) && bytes.Equal(frame.Sums(nil, text[:size]), sums)
}
