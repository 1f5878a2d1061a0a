package planner

import (
	"strings"

	"pg_manage/schema"
)

// Effect is what a step does to those who use the cluster.
type Effect string

// Effects, mildest first.
const (
	EffectNone       Effect = "none"
	EffectReload     Effect = "reload"
	EffectRestart    Effect = "restart"
	EffectRoleChange Effect = "role-change"
	EffectDataLoss   Effect = "data-loss"
)

// Action is what a step does to its object.
type Action string

// Actions and their symbols: + ~ - -/+
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionRemove  Action = "remove"
	ActionReplace Action = "replace"
)

// Symbol is how a plan shows the action.
func (a Action) Symbol() string {
	switch a {
	case ActionCreate:
		return "+"
	case ActionRemove:
		return "-"
	case ActionReplace:
		return "-/+"
	default:
		return "~"
	}
}

// Kind names what a step does.
type Kind string

// Kinds of steps; each has a Detail type of its own.
const (
	KindInstall       Kind = "install-binaries"
	KindHookConfig    Kind = "write-hook-config"
	KindPassfile      Kind = "write-passfile"
	KindInit          Kind = "init-instance"
	KindBuild         Kind = "build-standby"
	KindSettings      Kind = "write-settings"
	KindHBA           Kind = "write-hba"
	KindStart         Kind = "start"
	KindReload        Kind = "reload"
	KindRestart       Kind = "restart"
	KindRole          Kind = "replication-role"
	KindCreateSlot    Kind = "create-slot"
	KindDropSlot      Kind = "drop-slot"
	KindCreateArchive Kind = "create-archive"
	KindCheckArchive  Kind = "check-archive"
	KindStop          Kind = "stop"
	KindBackup        Kind = "take-backup"
	KindExpire        Kind = "expire-backups"
	KindProve         Kind = "prove-backup"
	KindRestore       Kind = "restore-backup"
	KindRecover       Kind = "recover"
	KindBeginRestore  Kind = "begin-restore"
	KindEndRestore    Kind = "end-restore"
)

// Step is one thing that apply does. It is data: nothing in it acts.
type Step struct {
	ID       string      `json:"id"` // cluster/node/kind, with /name where a node has several
	Kind     Kind        `json:"kind"`
	Action   Action      `json:"action"`
	Cluster  string      `json:"cluster"`
	Node     string      `json:"node"`
	Summary  string      `json:"summary"` // "build standby from node1"
	Reason   string      `json:"reason"`  // desired against observed
	Effect   Effect      `json:"effect"`
	Changes  []Change    `json:"changes,omitempty"`  // attribute by attribute, for a person
	Commands []string    `json:"commands,omitempty"` // as a person would type them on the node
	Pre      []Condition `json:"preconditions,omitempty"`
	Post     []Condition `json:"postconditions,omitempty"`
	Needs    []string    `json:"needs,omitempty"` // IDs of the steps that come first
	Undo     string      `json:"undo,omitempty"`
	Blocked  string      `json:"blocked,omitempty"` // why this step does not happen; "" when it does
	Instance Instance    `json:"instance"`
	Detail   Detail      `json:"-"` // what the executor works from; made anew by re-planning
}

// Change is one attribute before and after. "" before means absent.
type Change struct {
	Name      string `json:"name"`
	Before    string `json:"before,omitempty"`
	After     string `json:"after,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"` // Before and After are not given
	Note      string `json:"note,omitempty"`      // such as "requires restart"
}

// Instance is what a step needs to know of the instance it works on.
type Instance struct {
	Owner     string  `json:"owner"`
	Major     int     `json:"major"`
	Port      int     `json:"port"`
	BinDir    string  `json:"bin_dir"`
	DataDir   string  `json:"data_dir"`
	ConfigDir string  `json:"config_dir"`
	SocketDir string  `json:"socket_dir"`
	Manager   Manager `json:"manager"`
	Unit      string  `json:"unit,omitempty"`
	Tool      string  `json:"tool"`  // directory of our binaries
	State     string  `json:"state"` // directory of our files for this node
}

// Detail is the part of a step that its kind alone has.
type Detail interface{ kind() Kind }

// InstallDetail copies our binaries into Instance.Tool.
type InstallDetail struct {
	Arch  string
	Files map[string]string // file name -> SHA-256 that it must have
}

// HookConfigDetail writes hook.json into Instance.State, after checking that the
// node can use the required targets with it.
type HookConfigDetail struct{ Config HookConfig }

// PassfileDetail writes the replication password into Instance.State/passfile, 0600.
// The password is not here: the executor takes it from the cluster's declaration.
type PassfileDetail struct{ User string }

// InitDetail makes a new data directory with initdb, by way of the distribution's tool where it has one.
type InitDetail struct {
	Locale string // "" is C.UTF-8
}

// BuildDetail makes a standby's data directory with pg_basebackup, or from a backup.
type BuildDetail struct {
	Backup           *BackupSource // nil: with pg_basebackup from Source
	Source           string        // node
	SourceHost       string        // as the node reaches it
	SourcePort       int
	User             string
	Slot             string
	SystemIdentifier string         // that the source must have; "" when it is made by this very plan
	MoveAside        bool           // what lies in the data directory is moved aside first
	WALDir           string         // new directory that pg_wal is to be a link to; "": none
	InPlace          bool           // the data directory is a mount point: it is filled, not replaced
	Settings         SettingsDetail // written into the new directory before it appears
}

// SettingsDetail writes pg_manage.conf and makes postgresql.conf include it.
type SettingsDetail struct {
	Content   string            // the whole file
	Values    map[string]string // what it sets
	ResetAuto []string          // removed from postgresql.auto.conf with ALTER SYSTEM RESET, since they would override the file
}

// HBADetail puts our marked block at the top of pg_hba.conf.
type HBADetail struct{ Block string }

// StartDetail starts the server and waits until it answers.
type StartDetail struct {
	Replays bool // WAL since the backup that it was made from, which may take long
}

// ReloadDetail makes the server read its files again.
type ReloadDetail struct{ Expect map[string]string }

// RestartDetail restarts the server and waits until it answers.
type RestartDetail struct{ Expect map[string]string }

// RoleDetail creates the replication role or mends it. The password is sent as a SCRAM verifier.
type RoleDetail struct {
	Name   string
	Create bool
}

// SlotDetail creates or drops a physical replication slot.
type SlotDetail struct {
	Name string
	Drop bool
}

// CreateArchiveDetail makes the archive's directories and its identity file at a target.
type CreateArchiveDetail struct {
	Target   string
	Required bool // else a target that cannot be reached is told of, and left for later
}

// CheckArchiveDetail switches to a new WAL segment and waits until the old one is in the archive.
type CheckArchiveDetail struct{}

// StopDetail stops the server.
type StopDetail struct{}

// BackupSource is a base backup that a data directory is made from.
type BackupSource struct {
	Place BackupPlace
	Label string // "": the one that serves is chosen when the catalogue is known
}

// BackupDetail takes a base backup.
type BackupDetail struct {
	Place            BackupPlace
	Archives         []HookTarget // where the WAL of the backup is awaited
	Full             bool
	Workers          int
	Rate             int64  // bytes read a second; 0 is no limit
	Standby          bool   // the node is one: Primary is asked to begin a new WAL segment when that is needed
	Primary          string // node
	SystemIdentifier string // that the instance must have; "" when it is made by this very plan
}

// ExpireDetail removes base backups, exactly these, and the WAL that nothing needs then.
type ExpireDetail struct {
	Place  BackupPlace
	Labels []string // what depends on a backup stands before it
	WAL    bool     // the archive of the cluster is at this target too

	Rules     []schema.Keep // that let them go
	Timelines []WALTimeline // as far as they are known
}

// ProveDetail restores a backup for trial, starts PostgreSQL on it and checks it.
type ProveDetail struct {
	Place            BackupPlace
	Archives         []HookTarget
	Label            string // "" is the newest
	Workers          int
	SystemIdentifier string
}

// RestoreDetail makes a data directory from a base backup, ready to recover.
type RestoreDetail struct {
	Source           BackupSource
	Want             schema.Restore    // what was asked for
	Archives         []HookTarget      // where the WAL of the source is, in the order in which they are asked; none: the backup has it
	SystemIdentifier string            // that the backup must have; "" is any
	Tablespaces      map[string]string // oid -> directory, where it cannot be the one that the backup has
	Mark             string            // DataFacts.Restored afterwards
	MoveAside        bool              // what lies in the data directory is moved aside first
	WALDir           string            // new directory that pg_wal is to be a link to; "": none
	Delta            bool              // what lies in the data directory is overwritten with what differs
	InPlace          bool              // the data directory is a mount point: it is filled, not replaced
	Apart            bool              // it is a copy of its source, and no archive is declared for it: it must not archive at all
	Settings         SettingsDetail    // written into the new directory before it appears
}

// RecoverDetail starts a restored server, waits until its recovery has ended, and takes the
// settings of the recovery away.
type RecoverDetail struct {
	To     string // where recovery ends, for a person
	Intent bool   // a restore in place, which has more to do afterwards
}

// IntentDetail writes down that a restore in place has begun, or takes the note away.
type IntentDetail struct {
	Intent RestoreIntent
	End    bool
}

func (StopDetail) kind() Kind          { return KindStop }
func (BackupDetail) kind() Kind        { return KindBackup }
func (ExpireDetail) kind() Kind        { return KindExpire }
func (ProveDetail) kind() Kind         { return KindProve }
func (RestoreDetail) kind() Kind       { return KindRestore }
func (RecoverDetail) kind() Kind       { return KindRecover }
func (InstallDetail) kind() Kind       { return KindInstall }
func (HookConfigDetail) kind() Kind    { return KindHookConfig }
func (PassfileDetail) kind() Kind      { return KindPassfile }
func (InitDetail) kind() Kind          { return KindInit }
func (BuildDetail) kind() Kind         { return KindBuild }
func (SettingsDetail) kind() Kind      { return KindSettings }
func (HBADetail) kind() Kind           { return KindHBA }
func (StartDetail) kind() Kind         { return KindStart }
func (ReloadDetail) kind() Kind        { return KindReload }
func (RestartDetail) kind() Kind       { return KindRestart }
func (RoleDetail) kind() Kind          { return KindRole }
func (CreateArchiveDetail) kind() Kind { return KindCreateArchive }
func (CheckArchiveDetail) kind() Kind  { return KindCheckArchive }

func (d SlotDetail) kind() Kind {
	if d.Drop {
		return KindDropSlot
	}
	return KindCreateSlot
}

func (d IntentDetail) kind() Kind {
	if d.End {
		return KindEndRestore
	}
	return KindBeginRestore
}

// StepID builds a step's ID from its parts, leaving out empty ones.
func StepID(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "/")
}
