package node

import (
	"time"

	"pg_manage/executor/repo"
	"pg_manage/planner"
)

// CatalogRequest asks which base backups there are.
type CatalogRequest struct {
	Version  int     `json:"version"`
	Places   []Place `json:"places"`
	StateDir string  `json:"state_dir"`
}

// CatalogResult answers a CatalogRequest: one catalogue for each place, in their order. A
// place that cannot be asked has the reason in its Error; the others are answered.
type CatalogResult struct {
	Version  int                   `json:"version"`
	Catalogs []planner.CatalogFact `json:"catalogs"`
}

// BackupResult is the backup that a BackupRequest asked for.
type BackupResult struct {
	Version int                `json:"version"`
	Backup  planner.BackupFact `json:"backup"`
}

// ExpireRequest asks to remove backups, exactly these, and WAL that no backup needs any
// more. One that another backup depends on, that is pinned, or that is the newest whole
// one is refused.
type ExpireRequest struct {
	Version int      `json:"version"`
	Place   Place    `json:"place"`
	Labels  []string `json:"labels"`
	WAL     bool     `json:"wal,omitempty"` // and the WAL in the archive at the same target that what then stays does not need
	// All are all places of the cluster's backups, Place among them: those at the others
	// need WAL too. Without them no WAL goes.
	All      []Place `json:"all,omitempty"`
	DryRun   bool    `json:"dry_run,omitempty"`
	StateDir string  `json:"state_dir"`
	// Now is the time that the backups were judged at. When it is yet to come by the
	// node's clock one of the two clocks is wrong, and nothing goes.
	Now time.Time `json:"now,omitzero"`
}

// ExpireResult says what an ExpireRequest removed.
type ExpireResult struct {
	Version  int      `json:"version"`
	Removed  []string `json:"removed"` // labels; with dry_run, that would go
	Segments int      `json:"segments,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`     // of the segments, as stored
	Last     string   `json:"last,omitempty"`      // the newest segment that went
	WALStays string   `json:"wal_stays,omitempty"` // why no WAL may go; "" when some may
}

// DrillRequest asks to restore a backup into a scratch directory, to start PostgreSQL on
// it and to check it, and to note in the catalogue that this went well.
type DrillRequest struct {
	Version          int           `json:"version"`
	Place            Place         `json:"place"`
	Archives         []repo.Target `json:"archives,omitempty"` // where the WAL is, in the order in which they are asked
	Label            string        `json:"label,omitempty"`    // "" is the newest whole one
	Node             string        `json:"node,omitempty"`     // that does it, for the proof
	Preload          []string      `json:"preload,omitempty"`  // shared_preload_libraries of the source
	Server           Server        `json:"server"`             // whose programs are used; DataDir: the scratch directory lies on its file system
	SystemIdentifier string        `json:"system_identifier,omitempty"`
	Workers          int           `json:"workers,omitempty"`
	Scratch          string        `json:"scratch,omitempty"` // the directory in which the scratch directory is made; "" is beside the data directory
	Keep             bool          `json:"keep,omitempty"`    // leave it there afterwards
	StateDir         string        `json:"state_dir"`
}

// DrillResult says what a drill proved. One that found something wrong ends the command
// with 1, and the result comes all the same.
type DrillResult struct {
	Version  int           `json:"version"`
	Label    string        `json:"label"`
	Proven   time.Time     `json:"proven,omitzero"`   // zero when it was not
	Checked  []string      `json:"checked,omitempty"` // what was done
	Problems []string      `json:"problems,omitempty"`
	Scratch  string        `json:"scratch,omitempty"` // what was kept
	Elapsed  time.Duration `json:"elapsed_ns"`
}
