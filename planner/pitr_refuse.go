package planner

import (
	"fmt"

	"pg_manage/schema/postgres"
)

// before is a point that is earlier than a backup.
func (r *reach) before(what string) *RecoveryRefusal {
	return refusal(RefusedBefore, "choose a later point: nothing before the end of a backup can be restored from it",
		"%s is before %s, which ends at %s (%s)", what, r.theOldest(), r.b.StopLSN, stamp(r.b.StopTime))
}

func (r *reach) theOldest() string {
	if r.c.q.Backup != "" {
		return "the backup " + r.b.Label
	}
	return "the oldest backup that leads there, " + r.b.Label
}

// inside is a point before the end of a backup, where the copy is not consistent yet.
func (r *reach) inside(what string) *RecoveryRefusal {
	return refusal(RefusedInside, fmt.Sprintf("choose a point from %s (%s) on, or immediate", r.b.StopLSN, stamp(r.b.StopTime)),
		"%s lies inside of the backup %s, which began at %s (%s), and there is no earlier one that leads there", what, r.b.Label, r.b.StartLSN, stamp(r.b.StartTime))
}

// hole is WAL that is missing on the way.
func (r *reach) hole(what string) *RecoveryRefusal {
	return refusal(RefusedHole, fmt.Sprintf("put the missing WAL into the archive (pg_manage archive push-missing where pg_wal still has it), or choose a point before %s", r.to),
		"recovery from the backup %s cannot get to %s, since the archive at %s lacks the WAL from %s to %s", r.b.Label, what, r.c.q.Archive.Target, r.to, r.next.from)
}

// past is a point that the archive has no WAL of.
func (r *reach) past(what string, lsn postgres.LSN) *RecoveryRefusal {
	a := &r.c.q.Archive
	switch {
	case a.Error != "":
		return refusal(RefusedWAL, "try again when it answers", "the archive at %s could not be looked at (%s)", a.Target, a.Error)
	case a.Target == "":
		return refusal(RefusedPast, "leave the point out, or write immediate", "the backup %s has its WAL in itself and there is no archive to go on with: it can be restored to its end at %s (%s), and not to %s",
			r.b.Label, r.b.StopLSN, stamp(r.b.StopTime), what)
	}
	if r.c.q.Point.Time.IsZero() {
		for _, t := range a.Timelines {
			if t.Timeline != r.tli && r.c.reaches(t.Timeline, lsn) {
				return refusal(RefusedPast, fmt.Sprintf("write timeline = %q", fmt.Sprint(t.Timeline)),
					"timeline %d does not contain %s: in the archive at %s it ends at %s, and timeline %d goes on", r.tli, what, a.Target, r.to, t.Timeline)
			}
		}
	}
	newest := ""
	if last := r.c.end(r.tli); !last.Commit.IsZero() {
		newest = ", and its newest commit is of " + stamp(last.Commit)
	}
	return refusal(RefusedPast, "choose an earlier point, or none to recover to the end; WAL that was not archived yet can be with pg_manage archive push-missing",
		"%s is past the newest WAL: the archive at %s ends at %s on timeline %d%s", what, a.Target, r.to, r.tli, newest)
}
