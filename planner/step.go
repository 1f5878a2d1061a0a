package planner

import "strings"

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

// BuildDetail makes a standby's data directory with pg_basebackup.
type BuildDetail struct {
	Source           string // node
	SourceHost       string // as the node reaches it
	SourcePort       int
	User             string
	Slot             string
	SystemIdentifier string         // that the source must have; "" when it is made by this very plan
	MoveAside        bool           // what lies in the data directory is moved aside first
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
type StartDetail struct{}

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
