package node

import (
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/wal/audit"
	"pg_manage/planner"
)

// RestoreResult is what a restore did.
type RestoreResult struct {
	Version int           `json:"version"`
	Label   string        `json:"label"`
	Chain   []string      `json:"chain"` // labels that it was put together from, oldest first
	Files   int64         `json:"files"`
	Bytes   int64         `json:"bytes"`             // of all files
	Fetched int64         `json:"fetched"`           // bytes read from the target
	Written int64         `json:"written"`           // bytes of files that were written
	Removed int64         `json:"removed,omitempty"` // files that the backup does not have
	Resumed bool          `json:"resumed,omitempty"` // went on from an interrupted restore
	OldWAL  string        `json:"old_wal,omitempty"` // directory of WAL that was not marked as archived
	Elapsed time.Duration `json:"elapsed_ns"`
}

// SettingsRequest asks for the settings of a recovery in a stopped data directory, or for
// taking them away once it is over.
type SettingsRequest struct {
	Version        int       `json:"version"`
	DataDir        string    `json:"data_dir"`
	Clean          bool      `json:"clean,omitempty"`
	Recovery       *Recovery `json:"recovery,omitempty"`        // without Clean
	RestoreCommand string    `json:"restore_command,omitempty"` // without Clean
	Standby        bool      `json:"standby,omitempty"`         // go on as a standby: no target
	ConfigDir      string    `json:"config_dir,omitempty"`      // of postgresql.conf, outside of the data directory
	Major          int       `json:"major"`
	StateDir       string    `json:"state_dir"`
}

// SettingsResult says that it is done.
type SettingsResult struct {
	Version int `json:"version"`
}

// VerifyRequest asks whether a backup is whole.
type VerifyRequest struct {
	Version  int           `json:"version"`
	Place    Place         `json:"place"`
	Label    string        `json:"label"`
	Chain    bool          `json:"chain,omitempty"`    // the backups that it rests on, too
	Archives []repo.Target `json:"archives,omitempty"` // where its WAL is looked for; one of them must have it
	Workers  int           `json:"workers,omitempty"`
	StateDir string        `json:"state_dir"`
}

// VerifyResult is what was found. A backup with problems ends the command with 1, and the
// result comes all the same.
type VerifyResult struct {
	Version  int            `json:"version"`
	Backups  []VerifyBackup `json:"backups"` // oldest first
	WAL      []VerifyWAL    `json:"wal"`     // one for each archive
	Complete bool           `json:"complete"`
}

// VerifyBackup is one backup that was read.
type VerifyBackup struct {
	Label    string          `json:"label"`
	Files    int64           `json:"files"`
	Bytes    int64           `json:"bytes"`  // of files, as restored
	Stored   int64           `json:"stored"` // bytes read at the target
	Problems []VerifyProblem `json:"problems"`
}

// VerifyProblem is damage.
type VerifyProblem struct {
	Object string `json:"object"`          // file at the target
	Path   string `json:"path,omitempty"`  // file of the data directory that is hit
	Chunk  *int64 `json:"chunk,omitempty"` // first block of the chunk that is hit
	Detail string `json:"detail"`
}

// VerifyWAL is the WAL that a backup needs, in one archive.
type VerifyWAL struct {
	Target  string          `json:"target"`
	From    string          `json:"from"` // first segment
	To      string          `json:"to"`   // last segment
	Missing []string        `json:"missing"`
	Damaged []audit.Problem `json:"damaged"`
	Error   string          `json:"error,omitempty"` // why it could not be looked at
}

// Sound says that nothing is wrong.
func (r *VerifyResult) Sound() bool {
	for _, b := range r.Backups {
		if len(b.Problems) > 0 {
			return false
		}
	}
	sound := len(r.WAL) == 0
	for _, w := range r.WAL {
		sound = sound || w.Error == "" && len(w.Missing) == 0 && len(w.Damaged) == 0
	}
	return sound
}

// PinRequest asks that retention leave a backup alone, or not any more.
type PinRequest struct {
	Version  int    `json:"version"`
	Place    Place  `json:"place"`
	Label    string `json:"label"`
	StateDir string `json:"state_dir"`
}

// PinResult is how it is now.
type PinResult struct {
	Version int    `json:"version"`
	Label   string `json:"label"`
	Pinned  bool   `json:"pinned"`
}

// LocateRequest asks what the WAL archives have of a recovery target, so that the planner
// can choose the backup to begin with.
type LocateRequest struct {
	Version  int           `json:"version"`
	Place    Place         `json:"place"`
	Archives []repo.Target `json:"archives"`         // each is asked
	Backup   string        `json:"backup,omitempty"` // label of the one that must serve; "" leaves the choice
	Recovery Recovery      `json:"recovery"`
	Workers  int           `json:"workers,omitempty"` // segments read at once in each archive
	StateDir string        `json:"state_dir"`
}

// LocateResult is what the archives have, as planner.CatalogFact keeps it. An archive that
// could not be asked has its error there.
type LocateResult struct {
	Version  int                   `json:"version"`
	Archives []planner.ArchiveWAL  `json:"archives"`
	Found    []planner.WALPosition `json:"found"`
}
