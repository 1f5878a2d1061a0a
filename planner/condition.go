package planner

import (
	"fmt"
	"slices"
)

// Fact names something that a condition asks of a node.
type Fact string

// Facts that conditions ask for. What Arg and Want mean stands behind each.
const (
	FactReachable  Fact = "reachable"         // Want "true"
	FactDataState  Fact = "data_dir"          // Want a DataState
	FactSystemID   Fact = "system_identifier" // Want the identifier
	FactRunning    Fact = "running"           // Want "true" or "false"
	FactAccepting  Fact = "accepting"         // Want "true" or "false"
	FactRole       Fact = "role"              // Want "primary" or "standby"
	FactStreaming  Fact = "streaming"         // Want "true"
	FactLimit      Fact = "replayed limit"    // Arg a setting of standbyFloor, Want its value on the primary: replayed up to there
	FactSlot       Fact = "slot"              // Arg its name, Want "present" or "absent"
	FactSetting    Fact = "setting"           // Arg its name, Want the declared value
	FactSettings   Fact = "settings_file"     // Want the SHA-256 of the file
	FactHBA        Fact = "hba_block"         // Want the SHA-256 of the block
	FactHookConfig Fact = "hook_config"       // Want the SHA-256 of the canonical configuration
	FactPassfile   Fact = "passfile"          // Want "current"
	FactBinary     Fact = "binary"            // Arg file name, Want its SHA-256
	FactReplRole   Fact = "replication_role"  // Want "usable"
	FactArchive    Fact = "archive"           // Arg the target, Want "ours"
	FactBackup     Fact = "backup after"      // Arg cluster@target and a label, Want "present": a whole backup that was begun later; without a label any
	FactListed     Fact = "listed backup"     // Arg cluster@target and a label, Want "absent"
	FactProven     Fact = "proven after"      // Arg cluster@target and a time in the form of RFC 3339, Want "true"; without a time ever
	FactRestored   Fact = "restored"          // Want what was asked for, or "no": restored, and not recovered yet
	FactIntent     Fact = "restore_intent"    // Want what was asked for, or "none"
)

// Condition is a statement about a node that is true or not at a given time.
type Condition struct {
	Node string   `json:"node"`
	Fact Fact     `json:"fact"`
	Arg  string   `json:"arg,omitempty"`
	Want string   `json:"want"`
	Or   []string `json:"or,omitempty"` // other values that do as well
}

// String is the condition as a sentence.
func (c Condition) String() string {
	name := string(c.Fact)
	if c.Arg != "" {
		name += " " + c.Arg
	}
	want := c.Want
	for _, o := range c.Or {
		want += " or " + o
	}
	return fmt.Sprintf("%s: %s is %s", c.Node, name, want)
}

// UnmetError is a condition that does not hold on the facts at hand.
type UnmetError struct {
	Condition Condition
	Got       string
	Unknown   bool // nobody could look: Got says why
}

func (e *UnmetError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("expected %s, but that could not be observed: %s", e.Condition, e.Got)
	}
	return fmt.Sprintf("expected %s, found %s", e.Condition, e.Got)
}

// Check says whether the condition holds on these facts of its node: nil, or an *UnmetError.
func (c Condition) Check(n *NodeFacts) error {
	got, unknown := c.value(n)
	if unknown {
		return &UnmetError{c, got, true}
	}
	if got == c.Want || slices.Contains(c.Or, got) {
		return nil
	}
	return &UnmetError{c, got, false}
}
