package locate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pg_manage/schema/postgres"
)

// Transaction finds where a transaction ended, committed or not; nil when the WAL has no
// end of it. Only the lower 32 bits of its number are in the WAL; of several the newest counts.
func (s *Scan) Transaction(ctx context.Context, xid uint64) (*Record, error) {
	var found *Record
	match := func(r Record) bool { return r.Kind != RestorePoint && r.XID != 0 && r.XID == uint32(xid) }
	err := s.run(ctx, search{match: match}, func(seg *summary) bool {
		if n := len(seg.matches); n > 0 {
			found = &seg.matches[n-1]
		}
		return found != nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the end of transaction %d: %w", xid, err)
	}
	return found, nil
}

// RestorePoints finds the restore points of a name, oldest first.
func (s *Scan) RestorePoints(ctx context.Context, name string) ([]Record, error) {
	var found []Record
	match := func(r Record) bool { return r.Kind == RestorePoint && r.Name == name }
	err := s.run(ctx, search{match: match}, func(seg *summary) bool {
		found = append(slices.Clone(seg.matches), found...)
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the restore point %q: %w", name, err)
	}
	return found, nil
}

// End is what the WAL ends with.
type End struct {
	Record postgres.LSN // start of the last record that is whole; 0 when there is none
	Commit *Record      // of the newest segment in which transactions ended that with the highest time; nil when none did
}

// End finds what the WAL ends with.
func (s *Scan) End(ctx context.Context) (End, error) {
	var e End
	err := s.run(ctx, search{}, func(seg *summary) bool {
		e.Record = max(e.Record, seg.res.Last)
		e.Commit = seg.newest
		return e.Commit != nil
	})
	if err != nil {
		return End{}, fmt.Errorf("looking for the newest end of a transaction: %w", err)
	}
	return e, nil
}

// Behind finds the first end of a transaction behind a time, at which recovery to that
// time stops: later than it, or with exclusive not earlier. nil when there is none. Times
// in WAL are not quite in order, so the search goes on until they are older by Slack.
func (s *Scan) Behind(ctx context.Context, t time.Time, exclusive bool) (*Record, error) {
	match := func(r Record) bool {
		return r.Kind != RestorePoint && (r.Time.After(t) || exclusive && r.Time.Equal(t))
	}
	var found *Record
	err := s.run(ctx, search{match, true}, func(seg *summary) bool {
		if len(seg.matches) > 0 {
			found = &seg.matches[0]
		}
		return seg.newest != nil && seg.newest.Time.Before(t.Add(-Slack))
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the first end of a transaction after %s: %w", t.UTC().Format(time.RFC3339Nano), err)
	}
	return found, nil
}
