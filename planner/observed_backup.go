package planner

import (
	"time"

	"pg_manage/schema/postgres"
)

// CatalogFact is what one target has of a cluster's base backups, as a node sees it.
type CatalogFact struct {
	Target     string       `json:"target"`
	Cluster    string       `json:"cluster"`         // whose backups
	Known      bool         `json:"known"`           // the target was asked and answered
	Error      string       `json:"error,omitempty"` // why it is not known
	Backups    []BackupFact `json:"backups,omitempty"`
	Unfinished []string     `json:"unfinished,omitempty"` // labels of directories without backup.json
}

// BackupFact is one base backup. Times are UTC.
type BackupFact struct {
	Label            string            `json:"label"`
	Kind             string            `json:"kind"` // full or incremental
	Parent           string            `json:"parent,omitempty"`
	Node             string            `json:"node"`
	FromStandby      bool              `json:"from_standby,omitempty"`
	Cold             bool              `json:"cold,omitempty"`
	SystemIdentifier string            `json:"system_identifier"`
	PostgreSQL       string            `json:"postgresql"`
	Timeline         postgres.Timeline `json:"timeline"`
	StartLSN         postgres.LSN      `json:"start_lsn"`
	StopLSN          postgres.LSN      `json:"stop_lsn"`
	StartTime        time.Time         `json:"start_time"`
	StopTime         time.Time         `json:"stop_time"`
	SegmentSize      int64             `json:"segment_size"`
	Size             int64             `json:"size"`
	Stored           int64             `json:"stored"`
	Files            int64             `json:"files"`
	WAL              string            `json:"wal"` // archive or included
	Encrypted        bool              `json:"encrypted,omitempty"`
	Compression      string            `json:"compression"`
	Damaged          int64             `json:"damaged,omitempty"` // pages that were damaged on the node already
	Pinned           bool              `json:"pinned,omitempty"`
	Proven           time.Time         `json:"proven,omitzero"`       // newest drill that passed
	Broken           string            `json:"broken,omitempty"`      // why it cannot be restored, such as a parent that is missing
	Tablespaces      map[string]string `json:"tablespaces,omitempty"` // oid -> location
}

// Major is the server's major version, 0 when it is not known.
func (b *BackupFact) Major() int {
	n := 0
	for _, c := range b.PostgreSQL {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}
