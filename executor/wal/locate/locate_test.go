package locate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

const system = 7711132678460134211

// madeUp is WAL of random records in eight segments of 1 MiB.
func madeUp() (*waltest.Writer, *Scan) {
	w := waltest.New(system, 1, 1<<20, 1, 3)
	w.Fill(3)
	w.Record(3 << 20) // passes through whole segments
	w.Fill(8)
	s := &Scan{SystemIdentifier: system, SegmentSize: 1 << 20, Timeline: 1, From: 1 << 20, To: 9 << 20, Workers: 3}
	s.Open = func(_ context.Context, f postgres.WALFile) (io.ReadCloser, error) {
		start, err := f.Start(1 << 20)
		if err != nil {
			return nil, err
		}
		b, ok := w.Segments[uint64(start)>>20]
		if !ok {
			return nil, storage.ErrNotExist
		}
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return w, s
}

func TestDamageAndHolesAreNeverTakenForAnAnswer(t *testing.T) {
	ctx := context.Background()
	w, s := madeUp()
	var steps []string
	s.Progress = func(done, total int) { steps = append(steps, fmt.Sprintf("%d/%d", done, total)) }
	if r, err := s.RestorePoints(ctx, "x"); err != nil || len(r) > 0 {
		t.Fatal(r, err)
	}
	if got := strings.Join(steps, " "); got != "1/8 2/8 3/8 4/8 5/8 6/8 7/8 8/8" {
		t.Error(got)
	}
	for _, n := range []uint64{1, 2, 4, 5, 7} {
		old := w.Segments[n]
		bad := bytes.Clone(old)
		bad[400_000] ^= 4
		w.Segments[n] = bad
		if r, err := s.RestorePoints(ctx, "x"); err == nil || !strings.Contains(err.Error(), w.Name(n)[:23]) {
			t.Errorf("damage of segment %d: %v, %v", n, r, err)
		}
		delete(w.Segments, n)
		var missing *MissingError
		if r, err := s.Transaction(ctx, 5); !errors.As(err, &missing) || missing.Name != w.Name(n) {
			t.Errorf("segment %d is missing: %v, %v", n, r, err)
		}
		w.Segments[n] = old
	}
}

func TestAnOutageEndsTheSearch(t *testing.T) {
	_, s := madeUp()
	gone := errors.New("no route to host")
	open := s.Open
	var under, most atomic.Int64
	s.Open = func(ctx context.Context, f postgres.WALFile) (io.ReadCloser, error) {
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer under.Add(-1)
		if f.Seg == 3 {
			return nil, gone
		}
		return open(ctx, f)
	}
	if _, err := s.End(context.Background()); !errors.Is(err, gone) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("interrupted")
	s.Open = func(ctx context.Context, _ postgres.WALFile) (io.ReadCloser, error) {
		cancel(why)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if _, err := s.End(ctx); !errors.Is(err, why) {
		t.Error(err)
	}
	if most.Load() > 3 {
		t.Errorf("%d segments were opened at once", most.Load())
	}
}

// body builds the content of a record behind its header.
func body(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case time.Time:
			us := v.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds()
			b = binary.LittleEndian.AppendUint64(b, uint64(us))
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

// TestPreparedTransactionsOfEveryVersion lays the records out as each version writes them.
func TestPreparedTransactionsOfEveryVersion(t *testing.T) {
	when := time.Date(2026, 11, 22, 21, 55, 0, 123456000, time.UTC)
	for major, item := range map[int]int{13: 0, 14: 0, 15: 12, 16: 12, 17: 12, 18: 16} {
		flags, parts := infoHasDB|infoHasSubxacts|infoHasRelations|infoHasInvals|infoHasTwophase, []any{}
		dropped := []byte{}
		if item > 0 {
			flags |= infoHasDropped
			dropped = body(3, make([]byte, 3*item))
		}
		parts = append(parts, when, flags, 5, 6, 2, 100, 101, 1, make([]byte, 12), dropped, 2, make([]byte, 32), 4242, []byte("gid\x00"))
		data := body(parts...)
		for _, head := range [][]byte{append([]byte{254}, body(len(data))...), append([]byte{253, 1, 0, 254}, body(len(data))...), {252, 1, 0, 0, 0, 255, byte(len(data))}} {
			r, err := parse(walcheck.Record{Start: 77, XID: 9, Resource: rmXact, Info: xactCommitPrep | xactHasInfo, Body: append(bytes.Clone(head), data...)}, major)
			if want := (Record{Kind: Commit, LSN: 77, Time: when, XID: 4242}); err != nil || r != want {
				t.Errorf("PostgreSQL %d: %+v, %v", major, r, err)
			}
		}
		r, err := parse(walcheck.Record{XID: 9, Resource: rmXact, Info: xactAbortPrep | xactHasInfo, Body: append([]byte{255, 90}, data[:30]...)}, major)
		if err != nil || r.XID != 0 || r.Kind != Abort {
			t.Errorf("cut short: %+v, %v", r, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{255, 8, 1, 2, 3, 4, 5, 6, 7, 8}, byte(xactCommitPrep|xactHasInfo), 15)
	f.Add([]byte{254, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255, 255, 255, 255, 255, 255}, byte(xactAbortPrep|xactHasInfo), 18)
	f.Add([]byte{253}, byte(0), 13)
	f.Fuzz(func(_ *testing.T, b []byte, info byte, major int) {
		for _, rm := range []byte{rmXLOG, rmXact} {
			_, _ = parse(walcheck.Record{Resource: rm, Info: info, Body: b}, major)
		}
	})
}
