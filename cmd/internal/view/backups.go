package view

import (
	"time"

	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// BackupsPage is the JSON form of `backups`.
type BackupsPage struct {
	FormatVersion string           `json:"format_version"`
	Time          time.Time        `json:"time"`
	Complete      bool             `json:"complete"` // every target was asked and answered
	Clusters      []ClusterBackups `json:"clusters"`
}

// ClusterBackups are the base backups of one cluster.
type ClusterBackups struct {
	Cluster     string          `json:"cluster"`
	Node        string          `json:"node"` // that asked; "" when none could
	Targets     []TargetBackups `json:"targets"`
	Backups     []Backup        `json:"backups"`               // by target, each oldest first
	Recoverable *Window         `json:"recoverable,omitempty"` // nil when nothing can be recovered, or nobody could tell
	WALUnknown  string          `json:"wal_unknown,omitempty"` // why it is not known which WAL there is
}

// TargetBackups is what one target says.
type TargetBackups struct {
	Target     string   `json:"target"`
	Error      string   `json:"error,omitempty"` // why it is not known what there is
	Unfinished []string `json:"unfinished"`      // labels: being taken just now, or left by one that died
}

// Backup is one base backup.
type Backup struct {
	Target           string            `json:"target"`
	Label            string            `json:"label"`
	Kind             string            `json:"kind"` // full or incremental
	Parent           string            `json:"parent,omitempty"`
	Node             string            `json:"node"` // that it was taken on
	FromStandby      bool              `json:"from_standby,omitempty"`
	Cold             bool              `json:"cold,omitempty"`   // of a stopped instance
	State            string            `json:"state"`            // ok, damaged pages, no WAL, broken
	Broken           string            `json:"broken,omitempty"` // why it cannot be restored
	Why              string            `json:"why,omitempty"`    // it is not ok
	SystemIdentifier string            `json:"system_identifier"`
	PostgreSQL       string            `json:"postgresql"`
	Timeline         postgres.Timeline `json:"timeline"`
	StartLSN         postgres.LSN      `json:"start_lsn"`
	StopLSN          postgres.LSN      `json:"stop_lsn"`
	StartTime        time.Time         `json:"start_time"`
	StopTime         time.Time         `json:"stop_time"`
	AgeSeconds       float64           `json:"age_seconds"` // since it was complete
	DurationSeconds  float64           `json:"duration_seconds"`
	SizeBytes        int64             `json:"size_bytes"`   // of all files, when restored
	StoredBytes      int64             `json:"stored_bytes"` // at the target, of this backup alone
	Ratio            float64           `json:"ratio"`        // size by stored
	Files            int64             `json:"files"`
	WAL              string            `json:"wal"` // archive or included
	Compression      string            `json:"compression"`
	Encrypted        bool              `json:"encrypted,omitempty"`
	DamagedPages     int64             `json:"damaged_pages,omitempty"` // that were damaged on the node already
	Pinned           bool              `json:"pinned,omitempty"`
	Proven           time.Time         `json:"proven,omitzero"` // newest drill that passed
	Tablespaces      map[string]string `json:"tablespaces,omitempty"`
}

// States of a backup.
const (
	backupOK      = "ok"
	backupDamaged = "damaged pages"
	backupNoWAL   = "no WAL"
	backupBroken  = "broken"
)

// Window is the time over which a cluster can be recovered to any point.
type Window struct {
	Label   string       `json:"label"` // the oldest backup that serves
	From    time.Time    `json:"from"`
	FromLSN postgres.LSN `json:"from_lsn"`
	To      time.Time    `json:"to,omitzero"` // when the newest WAL was archived, as far as known
	ToLSN   postgres.LSN `json:"to_lsn"`
}

// WALSpan is WAL that one recovery can read from end to end.
type WALSpan struct {
	Timeline postgres.Timeline // on which it ends
	From, To postgres.LSN
	Through  []postgres.Timeline // the timelines that it is read from
}

// serves says whether recovery from a backup can begin in the span and become consistent.
func (s WALSpan) serves(b *planner.BackupFact) bool {
	for _, t := range s.Through {
		if t == b.Timeline {
			return s.From <= b.StartLSN && b.StopLSN <= s.To
		}
	}
	return false
}

// WALKnown is what is known of the WAL in a cluster's archives.
type WALKnown struct {
	Unknown string // why nothing is
	Spans   []WALSpan
	Newest  time.Time // when the newest segment was archived
}

// NewBackup describes a backup.
func NewBackup(target string, b *planner.BackupFact, now time.Time) Backup {
	v := Backup{
		Target: target, Label: b.Label, Kind: b.Kind, Parent: b.Parent, Node: b.Node, FromStandby: b.FromStandby, Cold: b.Cold, State: backupOK,
		SystemIdentifier: b.SystemIdentifier, PostgreSQL: b.PostgreSQL, Timeline: b.Timeline, StartLSN: b.StartLSN, StopLSN: b.StopLSN,
		StartTime: b.StartTime, StopTime: b.StopTime, AgeSeconds: max(0, now.Sub(b.StopTime).Seconds()), DurationSeconds: b.StopTime.Sub(b.StartTime).Seconds(),
		SizeBytes: b.Size, StoredBytes: b.Stored, Files: b.Files, WAL: b.WAL, Compression: b.Compression, Encrypted: b.Encrypted,
		DamagedPages: b.Damaged, Pinned: b.Pinned, Proven: b.Proven, Tablespaces: b.Tablespaces,
	}
	if b.Stored > 0 {
		v.Ratio = float64(b.Size*100/b.Stored) / 100
	}
	switch {
	case b.Broken != "":
		v.State, v.Broken, v.Why = backupBroken, b.Broken, b.Broken
	case b.Damaged > 0:
		v.State, v.Why = backupDamaged, plural(int(b.Damaged), "page was", "pages were")+" damaged on the node when it was taken"
	}
	return v
}

// NewClusterBackups puts together what the targets of a cluster said.
func NewClusterBackups(cluster, node string, catalogs []planner.CatalogFact, wal WALKnown, now time.Time) ClusterBackups {
	c := ClusterBackups{Cluster: cluster, Node: node, Targets: []TargetBackups{}, Backups: []Backup{}, WALUnknown: wal.Unknown}
	for i := range catalogs {
		f := &catalogs[i]
		t := TargetBackups{Target: f.Target, Unfinished: filled(f.Unfinished)}
		if !f.Known {
			t.Error = f.Error
			if t.Error == "" {
				t.Error = "it was not asked"
			}
		}
		for j := range f.Backups {
			c.Backups = append(c.Backups, c.judge(f.Target, &f.Backups[j], wal, now))
		}
		c.Targets = append(c.Targets, t)
	}
	return c
}

// judge describes a backup, sees whether its WAL is there, and widens the window by it.
func (c *ClusterBackups) judge(target string, b *planner.BackupFact, wal WALKnown, now time.Time) Backup {
	v := NewBackup(target, b, now)
	if v.State == backupBroken || wal.Unknown != "" {
		return v
	}
	var best *WALSpan
	for i := range wal.Spans {
		if s := &wal.Spans[i]; s.serves(b) && (best == nil || s.To > best.To) {
			best = s
		}
	}
	switch {
	case best != nil:
		w := Window{Label: b.Label, From: b.StopTime, FromLSN: b.StopLSN, To: wal.Newest, ToLSN: best.To}
		if c.Recoverable == nil || w.ToLSN > c.Recoverable.ToLSN || w.ToLSN == c.Recoverable.ToLSN && w.From.Before(c.Recoverable.From) {
			c.Recoverable = &w
		}
	case b.WAL == "archive":
		v.State, v.Why = backupNoWAL, "WAL between its start and its end is not in the archive"
	}
	return v
}

// Whole says that every target answered.
func (c ClusterBackups) Whole() bool {
	for _, t := range c.Targets {
		if t.Error != "" {
			return false
		}
	}
	return true
}

// BackupDocument is the JSON form of `backup show` and the result of `backup`.
type BackupDocument struct {
	FormatVersion string `json:"format_version"`
	Cluster       string `json:"cluster"`
	Backup
	Chain []string `json:"chain,omitempty"` // labels of the backups that it rests on, oldest first
}

// BackupPin is the JSON form of `backup pin` and `backup unpin`.
type BackupPin struct {
	FormatVersion string `json:"format_version"`
	Cluster       string `json:"cluster"`
	Target        string `json:"target"`
	Label         string `json:"label"`
	Pinned        bool   `json:"pinned"`
}

// BackupIntent is the JSON form of `backup --dry-run`: what would be done.
type BackupIntent struct {
	FormatVersion string `json:"format_version"`
	Cluster       string `json:"cluster"`
	Target        string `json:"target"`
	Node          string `json:"node"`
	Standby       bool   `json:"standby,omitempty"`
	Cold          bool   `json:"cold,omitempty"`
	Kind          string `json:"kind"`
	Parent        string `json:"parent,omitempty"` // when it was named; else the newest that serves
	Rule          string `json:"rule"`
	Workers       int    `json:"workers,omitempty"` // 0 leaves it to the node
	RateBytes     int64  `json:"rate_bytes,omitempty"`
}
