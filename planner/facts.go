package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"pg_manage/schema/postgres"
)

// Digest is the SHA-256 of a text in hexadecimal; of "" it is "", which stands for an absent file.
func Digest(s string) string {
	if s == "" {
		return ""
	}
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// value is what the facts say about a condition's subject, in the condition's
// own words; unknown means that nobody could look, and the text says why.
func (c Condition) value(n *NodeFacts) (got string, unknown bool) {
	if n == nil {
		return "the node was not looked at", true
	}
	if c.Fact == FactReachable {
		return strconv.FormatBool(n.Unreachable == ""), false
	}
	if n.Unreachable != "" {
		return n.Unreachable, true
	}
	switch c.Fact {
	case FactDataState:
		if n.Data.State == DataUnknown {
			return n.Data.Error, true
		}
		return string(n.Data.State), false
	case FactSystemID:
		return n.Data.SystemIdentifier, false
	case FactRunning:
		return strconv.FormatBool(n.Server.Running), false
	case FactAccepting:
		return strconv.FormatBool(n.Server.Accepting), false
	case FactSettings:
		return Digest(n.Files.Settings), false
	case FactHBA:
		return Digest(n.Files.HBA), false
	case FactHookConfig:
		return Digest(n.Files.HookConfig), false
	case FactPassfile:
		return word(n.Files.PassfileMatches, "current", "absent or outdated"), false
	case FactBinary:
		return n.Host.Installed[c.Arg], false
	case FactArchive:
		a := n.Archive(c.Arg)
		if a.State == ArchiveUnreachable || a.State == ArchiveUnknown {
			return a.Error, true
		}
		if a.State == ArchiveOurs && n.Data.State == DataCluster && a.SystemIdentifier != n.Data.SystemIdentifier {
			return "that of system identifier " + a.SystemIdentifier, false
		}
		return string(a.State), false
	case FactLimit:
		return n.Data.Limits[c.Arg], false
	case FactRestored:
		return first(n.Data.Restored, "no"), false
	case FactIntent:
		if n.Intent == nil {
			return "none", false
		}
		return n.Intent.Asked, false
	case FactBackup, FactListed, FactProven:
		return c.catalogValue(n)
	}
	if !n.Server.Accepting {
		if n.Server.Error != "" {
			return "the server does not answer: " + n.Server.Error, true
		}
		return "the server is not running", false
	}
	return c.serverValue(&n.Server), false
}

// catalogName names a catalogue in a condition's Arg.
func catalogName(cluster, target string) string { return cluster + "@" + target }

// catalogValue is value for the facts that a catalogue gives.
func (c Condition) catalogValue(n *NodeFacts) (got string, unknown bool) {
	place, arg, _ := strings.Cut(c.Arg, " ")
	for i := range n.Catalogs {
		cat := &n.Catalogs[i]
		switch {
		case catalogName(cat.Cluster, cat.Target) != place:
		case !cat.Known:
			return cat.Error, true
		case c.Fact == FactListed:
			return word(cat.Backup(arg) != nil, "present", "absent"), false
		case c.Fact == FactProven:
			since, _ := time.Parse(time.RFC3339, arg)
			return strconv.FormatBool(slices.ContainsFunc(cat.Backups, func(x BackupFact) bool { return x.Proven.After(since) })), false
		default:
			old := cat.Backup(arg)
			return word(slices.ContainsFunc(cat.Backups, func(x BackupFact) bool {
				return x.Broken == "" && (arg == "" || old == nil && x.Label > arg || old != nil && x.StartTime.After(old.StartTime))
			}), "present", "absent"), false
		}
	}
	return "the catalogue was not asked", true
}

// serverValue is value for the facts that only an answering server gives.
func (c Condition) serverValue(s *ServerFacts) string {
	switch c.Fact {
	case FactRole:
		return word(s.InRecovery, "standby", "primary")
	case FactStreaming:
		return strconv.FormatBool(s.Receiver != nil && s.Receiver.Status == "streaming")
	case FactSlot:
		return word(s.slot(c.Arg) != nil, "present", "absent")
	case FactReplRole:
		r := s.ReplicationRole
		return word(r != nil && r.Login && r.Replication && r.PasswordMatches, "usable", "absent or outdated")
	case FactSetting:
		set, ok := s.Settings[c.Arg]
		if !ok {
			return "not set"
		}
		if same, err := postgres.EqualSetting(c.Want, set); err == nil && same {
			return c.Want
		}
		shown := set
		shown.Value = redact(c.Arg, set.Value)
		return postgres.ShowSetting(shown)
	default:
		return "no such fact"
	}
}

func (s *ServerFacts) slot(name string) *Slot {
	for i := range s.Slots {
		if s.Slots[i].Name == name {
			return &s.Slots[i]
		}
	}
	return nil
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
