package take

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pg_manage/executor/basebackup/pack"
	"pg_manage/schema/postgres"
)

// Times of waiting for the server's summarizer.
const (
	summarizerTime = time.Minute // without progress
	summarizerPoll = 100 * time.Millisecond
)

// span is WAL of one timeline, or the summary of it.
type span struct {
	timeline   postgres.Timeline
	start, end postgres.LSN
}

// summaries reads what the server's WAL summaries say of changes between the parent's
// start and this backup's. nil says that all files are read and compared instead, which
// comes to the same and takes longer.
func (r *run) summaries(ctx context.Context, _ *session) (pack.Summary, error) {
	if r.parent == nil || !r.facts.summaries || !r.parent.serves(r) {
		return nil, nil
	}
	// A server that was brought back to an older backup, or to a snapshot of its disk, may go on
	// with the timeline and the LSNs of what it wrote before. An archive refuses its WAL then;
	// without one only the files themselves tell.
	if r.o.Archive == nil {
		return nil, nil
	}
	same, err := r.parent.sameTimeline(r.o, r.info.Timeline)
	if err != nil {
		return nil, err
	}
	if !same {
		r.o.notice("all files are read, since it is not known that the timeline %d of the backup %s is this server's", r.parent.info.Timeline, r.parent.info.Label)
		return nil, nil
	}
	// pg_checksums writes every page of a stopped server, of which no WAL tells.
	if r.info.Checksums && !r.parent.info.Checksums {
		r.o.notice("all files are read, since checksums of pages were turned on after the backup %s", r.parent.info.Label)
		return nil, nil
	}
	changed, err := r.readSummaries(ctx)
	switch {
	case err == nil:
		return changed, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	r.o.notice("all files are read, since the server's WAL summaries cannot be used: %v", err)
	return nil, nil
}

// serves says whether summaries can tell what has changed since the parent: it ended
// before this backup began (basebackup_incremental.c, PrepareForIncrementalBackup), which
// on a standby is not a matter of course, and blocks are of the size that sums are of.
func (p *parent) serves(r *run) bool {
	return p.info.StopLSN <= r.info.StartLSN && r.info.BlockSize == pageSize
}

// readSummaries uses a session of its own: an error in the one that holds a temporary
// slot would drop the slot.
func (r *run) readSummaries(ctx context.Context) (*changes, error) {
	x, err := connect(ctx, r.o.Server)
	if err != nil {
		return nil, err
	}
	defer x.close()
	if err := x.awaitSummarizer(ctx, r.info.StartLSN); err != nil {
		return nil, err
	}
	there, err := x.availableSummaries(ctx)
	if err != nil {
		return nil, err
	}
	path := walPath(span{r.parent.info.Timeline, r.parent.info.StartLSN, r.info.StartLSN}, r.info.Timeline, r.parent.history)
	needed, err := covering(there, path)
	if err != nil {
		return nil, err
	}
	c := newChanges(r.facts.relationSegment)
	for _, s := range needed {
		err := x.each(ctx, c.add, `SELECT reltablespace, reldatabase, relfilenode, relforknumber, relblocknumber, is_limit_block
 FROM pg_wal_summary_contents($1, $2, $3)`, strconv.FormatUint(uint64(s.timeline), 10), s.start.String(), s.end.String())
		if err != nil {
			return nil, fmt.Errorf("the summary of %s to %s on timeline %d: %w", s.start, s.end, s.timeline, err)
		}
	}
	return c, nil
}

// awaitSummarizer waits until WAL up to a location is summarized.
func (x *session) awaitSummarizer(ctx context.Context, upTo postgres.LSN) error {
	last, progress := "", time.Now()
	for {
		row, err := x.row(ctx, "SELECT summarized_lsn, pending_lsn, coalesce(summarizer_pid, 0) FROM pg_get_wal_summarizer_state()")
		if err != nil {
			return err
		}
		done, err := postgres.ParseLSN(row[0])
		if err != nil || done >= upTo {
			return err
		}
		if now := row[0] + " " + row[1]; now != last {
			last, progress = now, time.Now()
		}
		if time.Since(progress) >= summarizerTime {
			if row[2] == "0" {
				return fmt.Errorf("the summarizer is not running, and has come to %s of %s", done, upTo)
			}
			return fmt.Errorf("the summarizer has come to %s of %s, and not further for %s", done, upTo, summarizerTime)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(summarizerPoll):
		}
	}
}

func (x *session) availableSummaries(ctx context.Context) ([]span, error) {
	rows, err := x.query(ctx, "SELECT tli, start_lsn, end_lsn FROM pg_available_wal_summaries()")
	if err != nil {
		return nil, err
	}
	var all []span
	for _, row := range rows {
		tli, err := strconv.ParseUint(row[0], 10, 32)
		if err != nil {
			return nil, err
		}
		s := span{timeline: postgres.Timeline(tli)}
		if s.start, err = postgres.ParseLSN(row[1]); err != nil {
			return nil, err
		}
		if s.end, err = postgres.ParseLSN(row[2]); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// walPath cuts what lies between two locations into its timelines: from begins on the
// parent's one, and ends on tli, which history leads to.
func walPath(from span, tli postgres.Timeline, history []postgres.Branch) []span {
	if from.timeline == tli {
		return []span{from}
	}
	var path []span
	at := from.start
	for _, b := range history {
		if b.Timeline >= from.timeline {
			path = append(path, span{b.Timeline, at, b.End})
			at = b.End
		}
	}
	return append(path, span{tli, at, from.end})
}

// covering gives the summaries that are needed for a path, which they must cover whole.
func covering(there, path []span) ([]span, error) {
	var needed []span
	for _, p := range path {
		var own []span
		for _, s := range there {
			if s.timeline == p.timeline && s.start < p.end && s.end > p.start {
				own = append(own, s)
			}
		}
		slices.SortFunc(own, func(a, b span) int {
			switch {
			case a.start < b.start:
				return -1
			case a.start > b.start:
				return 1
			}
			return 0
		})
		at := p.start
		for _, s := range own {
			if s.start > at {
				break
			}
			at = max(at, s.end)
		}
		if at < p.end {
			return nil, fmt.Errorf("there is none of what follows %s on timeline %d (they are kept for wal_summary_keep_time)", at, p.timeline)
		}
		needed = append(needed, own...)
	}
	return needed, nil
}
