package planner

import (
	"slices"
	"time"

	"pg_manage/schema"
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

	// Archives are what the archives have of the cluster's WAL, and Found where they have the
	// point that a restore was asked for; both only where that was looked up.
	Archives []ArchiveWAL  `json:"archives,omitempty"`
	Found    []WALPosition `json:"found,omitempty"`
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

// RestoreIntent is a restore in place that was begun on a node and is not finished.
type RestoreIntent struct {
	Target string    `json:"target"` // of the backup
	Label  string    `json:"label"`
	To     string    `json:"to"`    // where recovery ends, for a person
	Asked  string    `json:"asked"` // digest of what was asked for
	Begun  time.Time `json:"begun"`
	Done   bool      `json:"done,omitempty"` // the node itself is recovered: what is left is up to the others
}

// CatalogPlace names a catalogue that a plan rests on.
type CatalogPlace struct {
	Target  *schema.Target
	Cluster string // whose backups
}

// CatalogPlaces are the catalogues that have to be asked before c can be planned for, each once.
// A cluster without backups needs none.
func CatalogPlaces(c *schema.Cluster, facts *ClusterFacts, restore *RestoreRequest) []CatalogPlace {
	var out []CatalogPlace
	add := func(t *schema.Target, cluster string) {
		for _, p := range out {
			if p.Target == t && p.Cluster == cluster {
				return
			}
		}
		if t != nil {
			out = append(out, CatalogPlace{t, cluster})
		}
	}
	for _, r := range c.Backups {
		add(r.Target, c.Name)
	}
	if p := c.Primary(); p != nil && c.Bootstrap != nil && c.Bootstrap.Restore != nil {
		if f := facts.Nodes[p.Name]; f != nil && f.vacant() { // later nobody asks any more where its data came from
			add(c.Bootstrap.Restore.Target, c.Bootstrap.Restore.Cluster)
		}
	}
	if restore != nil && restore.Cluster == c.Name {
		add(restore.Want.Target, restore.Want.Cluster)
	}
	return out
}

// Catalog is the catalogue of a cluster's backups at a target, from whichever node was
// asked; nil when none was.
func (f *ClusterFacts) Catalog(target, cluster string) *CatalogFact {
	var found *CatalogFact
	for _, name := range sortedKeys(f.Nodes) {
		n := f.Nodes[name]
		for i := range n.Catalogs {
			if c := &n.Catalogs[i]; c.Target == target && c.Cluster == cluster && (found == nil || c.Known && !found.Known) {
				found = c
			}
		}
	}
	return found
}

// Catalog is what the node itself says of a catalogue; nil when it was not asked.
func (f *NodeFacts) Catalog(p BackupPlace) *CatalogFact {
	i := slices.IndexFunc(f.Catalogs, func(c CatalogFact) bool { return catalogName(c.Cluster, c.Target) == p.Name() })
	if i < 0 {
		return nil
	}
	return &f.Catalogs[i]
}

// Backup finds a backup by its label; nil when there is none.
func (c *CatalogFact) Backup(label string) *BackupFact {
	for i := range c.Backups {
		if c.Backups[i].Label == label {
			return &c.Backups[i]
		}
	}
	return nil
}

// newest is the newest backup that can be restored and is of the cluster with this system
// identifier; nil when there is none.
func (c *CatalogFact) newest(id string, fits func(*BackupFact) bool) *BackupFact {
	return NewestBackup(c.Backups, func(x *BackupFact) bool { return x.SystemIdentifier == id && (fits == nil || fits(x)) })
}

// NewestBackup is the backup that was begun last of those that can be restored and fit; nil
// when there is none. Of two that were begun at once it is the one whose label comes last.
func NewestBackup(backups []BackupFact, fits func(*BackupFact) bool) *BackupFact {
	var out *BackupFact
	for i := range backups {
		x := &backups[i]
		if x.Broken == "" && fits(x) && (out == nil || newerFirst(*x, *out) < 0) {
			out = x
		}
	}
	return out
}
