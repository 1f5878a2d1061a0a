package catalog

import (
	"strconv"

	"pg_manage/planner"
)

// Fact is the backup as plans see it.
func (e Entry) Fact() planner.BackupFact {
	f := planner.BackupFact{
		Label: e.Label, Kind: string(e.Kind), Parent: e.Parent, Node: e.Node, FromStandby: e.FromStandby, Cold: e.Cold,
		SystemIdentifier: e.SystemIdentifier, PostgreSQL: e.PostgreSQL, Timeline: e.Timeline,
		StartLSN: e.StartLSN, StopLSN: e.StopLSN, StartTime: e.StartTime.UTC(), StopTime: e.StopTime.UTC(),
		SegmentSize: e.SegmentSize, Size: e.Size, Stored: e.Stored, Files: e.Files, WAL: e.WAL,
		Encrypted: e.Encrypted, Compression: e.Compression, Damaged: e.Damaged,
		Pinned: e.Pinned, Proven: e.Proven, Broken: e.Broken,
	}
	for _, t := range e.Tablespaces {
		if f.Tablespaces == nil {
			f.Tablespaces = map[string]string{}
		}
		f.Tablespaces[strconv.FormatUint(uint64(t.OID), 10)] = t.Location
	}
	return f
}
