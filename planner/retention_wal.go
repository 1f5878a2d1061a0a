package planner

import "pg_manage/schema/postgres"

// WALStart says that the WAL of a timeline, and of all that come after it, is needed
// from a position on.
type WALStart struct {
	SystemIdentifier string            `json:"system_identifier"`
	Timeline         postgres.Timeline `json:"timeline"`
	LSN              postgres.LSN      `json:"lsn"`
}

// needs takes in the WAL that a kept backup needs.
func (r *Retention) needs(b *BackupFact) {
	if b.WAL == walIncluded {
		return
	}
	for k := range r.WAL {
		if w := &r.WAL[k]; w.SystemIdentifier == b.SystemIdentifier && w.Timeline == b.Timeline {
			w.LSN = min(w.LSN, b.StartLSN)
			return
		}
	}
	r.WAL = append(r.WAL, WALStart{b.SystemIdentifier, b.Timeline, b.StartLSN})
}

// WALFrom says from which position on the WAL of a timeline is needed; false: none of it
// is. As timelines branch off, a timeline's WAL is needed too when a backup of a lower one
// needs it. When no kept backup is of the system identifier nothing is known, and all is needed.
func (r *Retention) WALFrom(systemIdentifier string, tli postgres.Timeline) (postgres.LSN, bool) {
	from, needed, known := postgres.LSN(0), false, false
	for _, w := range r.WAL {
		if w.SystemIdentifier != systemIdentifier {
			continue
		}
		known = true
		if w.Timeline <= tli && (!needed || w.LSN < from) {
			from, needed = w.LSN, true
		}
	}
	if !known {
		return 0, true
	}
	return from, needed
}
