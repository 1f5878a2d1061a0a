package audit

import (
	"context"
	"fmt"
	"slices"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Summary is what an archive has and lacks of one timeline, by names.
type Summary struct {
	Timeline postgres.Timeline `json:"timeline"`
	Oldest   string            `json:"oldest"` // segments, "" when there are none
	Newest   string            `json:"newest"`
	Segments uint64            `json:"segments"`
	Missing  []Missing         `json:"missing"` // between the two, sorted
}

// Gaps sums up the names of WAL files, of which complete segments of one timeline
// count. pending are those that wait in pg_wal, see Ready: they are not missing.
func Gaps(tli postgres.Timeline, segSize int64, names, pending []string) (Summary, error) {
	present, err := segmentsOf(tli, segSize, names)
	if err != nil {
		return Summary{}, err
	}
	waiting, err := segmentsOf(tli, segSize, pending)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Timeline: tli, Segments: present.count(), Missing: []Missing{}}
	if len(present) == 0 {
		return s, nil
	}
	l := &lineage{segSize: segSize}
	first, last := present[0].from, present[len(present)-1].to
	s.Oldest, s.Newest = l.name(tli, first), l.name(tli, last)
	for _, r := range present.lack(first, last).without(waiting) {
		s.Missing = append(s.Missing, Missing{l.name(tli, r.from), l.name(tli, r.to), r.to - r.from + 1})
	}
	return s, nil
}

func segmentsOf(tli postgres.Timeline, segSize int64, names []string) (out spans, err error) {
	for _, name := range names {
		f, err := postgres.ClassifyWALName(name)
		if err != nil {
			return nil, err
		}
		if f.Kind != postgres.WALSegment || f.Timeline != tli {
			continue
		}
		start, err := f.Start(segSize)
		if err != nil {
			return nil, err
		}
		out.add(uint64(start) / uint64(segSize))
	}
	out.tidy()
	return out, nil
}

// TimelineGaps lists one timeline's directories in an archive, and nothing else, and
// sums them up.
func TimelineGaps(ctx context.Context, a Archive, tli postgres.Timeline, pending []string) (Summary, error) {
	s, err := timelineGaps(ctx, &a, tli, pending)
	if err != nil {
		return Summary{}, fmt.Errorf("looking for gaps in the archive %s at %s: %w", a.Dir, a.Driver, err)
	}
	return s, nil
}

func timelineGaps(ctx context.Context, a *Archive, tli postgres.Timeline, pending []string) (Summary, error) {
	top, err := a.Driver.List(ctx, a.path(""))
	if err != nil {
		return Summary{}, notAbsent(err)
	}
	if !slices.ContainsFunc(top, func(i storage.Info) bool { return i.Name == IdentityName }) {
		return Summary{}, fmt.Errorf("there is no %s", IdentityName)
	}
	var names []string
	for _, i := range top {
		if f, err := postgres.ClassifyWALName(i.Name + "00000000"); !i.Dir || err != nil || f.Kind != postgres.WALSegment || f.Timeline != tli {
			continue
		}
		files, err := a.list(ctx, i.Name)
		if err != nil {
			return Summary{}, err
		}
		objects, _ := a.objects(i.Name, files)
		for _, o := range objects {
			names = append(names, o.file.Name)
		}
	}
	if err := a.alive(ctx); err != nil {
		return Summary{}, err
	}
	return Gaps(tli, a.SegmentSize, names, pending)
}
