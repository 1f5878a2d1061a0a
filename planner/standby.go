package planner

import (
	"fmt"
	"slices"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// upstream is the node that a standby is to stream from: the declared one, unless
// that is itself, or stands elsewhere in the observed roles.
func (b *builder) upstream(n *schema.Node) *schema.Node {
	if up := b.c.Node(n.Upstream); up != nil && up != n && n.Role == schema.RoleStandby {
		// After a failover the declared primary is no longer one; its standbys follow the one that is.
		if up.Role == schema.RolePrimary {
			return b.primary
		}
		if b.c.Node(up.Upstream) == n { // the new primary stood below this one
			return b.primary
		}
		return up
	}
	return b.primary
}

// planStandby brings a standby to life.
func (b *builder) planStandby(n *schema.Node) {
	f := b.node(n)
	source := b.node(b.primary).Data.SystemIdentifier
	same := f.holds() && f.Data.SystemIdentifier == source
	switch {
	case f.vacant():
		if len(f.Data.Aside) > 0 {
			b.warnf(n, "It may be from a rebuild that was cut off. Nothing of it is touched; remove it when it is not needed.",
				"a former data directory of %s is kept at %s", n.Name, strings.Join(f.Data.Aside, ", "))
		}
		if b.inPlace != nil && b.inPlace.aside[n.Name] {
			b.build(n, true, "the primary is restored, and its data is of what was before")
			break
		}
		b.build(n, false, fmt.Sprintf("%s is declared standby and its data directory is %s", n.Name, f.Data.State))
	case b.halted[b.primary.Name] && !b.node(b.primary).holds():
		// Nobody can say whether its data is that of the primary: what it has stays as it is.
		if !f.Server.Running {
			if !f.Data.StandbySignal {
				b.errorf(n, fmt.Sprintf("See to %s first.", b.primary.Name), "%s is stopped and is no standby, and nothing is known of the data of %s", n.Name, b.primary.Name)
				return
			}
			b.start(n, "")
		}
	case b.node(b.primary).vacant() && b.inPlace == nil:
		b.errorf(n, "", "%s holds data, and %s, the primary, none", n.Name, b.primary.Name)
		return
	case f.Server.Running && !same:
		b.errorf(n, "Stop it by hand if it is not needed. A running server is never replaced.",
			"the server on %s belongs to another cluster (system identifier %s, the primary has %s)", n.Name, f.Data.SystemIdentifier, source)
		return
	case same && f.timeline() > b.node(b.primary).timeline():
		b.errorf(n, b.choose(n), "%s is on timeline %d, ahead of the primary %s on %d", n.Name, f.timeline(), b.primary.Name, b.node(b.primary).timeline())
		return
	case same && f.ahead(b.node(b.primary)):
		b.errorf(n, b.choose(n), "%s has WAL up to %s on timeline %d, more than the primary %s", n.Name, f.position(), f.timeline(), b.primary.Name)
		return
	case same && !f.Server.Running && f.Data.RecoverySignal && !f.Data.StandbySignal:
		b.errorf(n, "Let it end, or take recovery.signal away, by hand; then plan again.",
			"%s is in the middle of a point-in-time recovery, which would end with a second primary", n.Name)
		return
	case !same:
		b.build(n, true, fmt.Sprintf("its data directory belongs to another cluster (system identifier %s, the primary has %s)", f.Data.SystemIdentifier, source))
	case !f.Server.Running && !f.standbyData():
		b.build(n, true, "its data directory is that of a former primary, which may hold commits that the new one lacks")
	case !f.Server.Running:
		b.start(n, "")
	}
	b.settings(n)
	b.hba(n)
}

// choose tells how a person decides between a node's data and the primary's: no flag does that.
func (b *builder) choose(n *schema.Node) string {
	f := b.node(n)
	dir, history := f.Paths.DataDir, ""
	if tli := f.timeline(); b.c.Archived() && tli > b.node(b.primary).timeline() {
		history = fmt.Sprintf("Take %s out of the archive as well, if it is there: standbys would follow it.\n", postgres.HistoryName(tli))
	}
	return fmt.Sprintf("Find out which of the two has the commits that count. If it is %s: stop %s, move its data away, and apply again, which builds it anew:\n    mv %s %s\n%sIf it is %s: declare it primary.",
		b.primary.Name, n.Name, shellQuote(dir), shellQuote(dir+".away"), history, n.Name)
}

// build makes a standby from its upstream with pg_basebackup, or from what else it is to be seeded with.
func (b *builder) build(n *schema.Node, moveAside bool, reason string) {
	f, up := b.node(n), b.upstream(n)
	r := b.c.Replication
	if r == nil || up == nil {
		b.errorf(n, "Declare a replication block.", "%s cannot be built without a role to replicate with", n.Name)
		return
	}
	backup, from, why := b.seed(n, up)
	if from == nil {
		b.errorf(n, "Take a backup, or add \"upstream\" to its seed_from.", "%s is to be built, and %s", n.Name, why)
		return
	}
	if why != "" {
		reason += "; " + why
	}
	slot := postgres.SlotName(n.Name)
	s := Step{
		Action: ActionCreate, Summary: "build standby from " + from.Name, Reason: reason,
		Pre: []Condition{
			{Node: n.Name, Fact: FactRunning, Want: "false"},
			{Node: up.Name, Fact: FactAccepting, Want: "true"},
			{Node: up.Name, Fact: FactSlot, Arg: slot, Want: "present"},
			{Node: b.primary.Name, Fact: FactRole, Want: "primary"},
		},
		Post: []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
		Undo: "an interrupted copy lies beside the data directory and is cleared away by the next build",
	}
	d := BuildDetail{
		Backup: backup, Source: from.Name, SourceHost: from.Address, SourcePort: from.Port, User: r.User, Slot: slot,
		// The primary's: what the source holds now may itself be about to be replaced.
		SystemIdentifier: b.node(b.primary).Data.SystemIdentifier, MoveAside: moveAside, InPlace: f.Data.MountPoint,
		Settings: b.settingsDetail(n),
	}
	switch {
	case backup != nil:
		s.Summary = "build standby from base backup " + backup.Label + " at " + backup.Place.Target.Name
		s.Commands = []string{"pg_manage node restore"}
	case from != up: // the slot is on the one that it streams from
		d.Slot = ""
		s.Pre = append(s.Pre, Condition{Node: from.Name, Fact: FactAccepting, Want: "true"})
		s.Commands = []string{baseBackupCommand(f.Paths.DataDir, "", b.conninfo(n, from))}
	default:
		s.Commands = []string{baseBackupCommand(f.Paths.DataDir, slot, b.conninfo(n, from))}
	}
	for _, name := range sortedKeys(b.node(from).Server.AutoConf) { // it is copied along
		if _, declared := d.Settings.Values[name]; declared {
			d.Settings.ResetAuto = append(d.Settings.ResetAuto, name)
		}
	}
	if id := d.SystemIdentifier; id != "" {
		s.Pre = append(s.Pre, Condition{Node: from.Name, Fact: FactSystemID, Want: id})
		s.Post = append(s.Post, Condition{Node: n.Name, Fact: FactSystemID, Want: id})
	}
	b.keepOld(n, &s, moveAside, "be built anew")
	if moveAside {
		if d.WALDir = b.besideWAL(n, &s, "rebuilt"); d.WALDir != "" && backup == nil {
			s.Commands[0] += " --waldir=" + shellQuote(d.WALDir)
		}
		s.Summary = "re" + s.Summary + ", moving the old data aside"
		if names := b.unobserved(n); len(names) > 0 {
			s.Blocked = fmt.Sprintf("%v could not be looked at: this data may be the only copy of what it lacks", names)
		}
	}
	for _, source := range []*schema.Node{up, from, b.primary} {
		if b.halted[source.Name] {
			s.Blocked = fmt.Sprintf("nothing can be planned for %s, which it needs", source.Name)
		}
	}
	s.Needs = slices.Concat([]string{
		b.id(b.primary, KindRole), b.id(up, KindCreateSlot, slot), b.id(n, KindPassfile), b.id(n, KindHookConfig), b.id(from, KindHBA), b.id(n, KindStop),
	}, b.running(up), b.running(from))
	if backup != nil {
		s.Needs = append(s.Needs, b.id(n, KindInstall))
	}
	b.start(n, "", b.add(n, d, s))
}

func baseBackupCommand(dataDir, slot, conninfo string) string {
	if slot != "" {
		slot = " --slot=" + slot
	}
	return fmt.Sprintf("pg_basebackup --pgdata=%s --wal-method=stream%s --checkpoint=fast --dbname=%s", shellQuote(dataDir), slot, shellQuote(conninfo))
}

// conninfo is how a standby reaches its upstream. The password is in the passfile.
func (b *builder) conninfo(n, up *schema.Node) string {
	word := func(s string) string {
		if shellQuote(s) == s { // a plain word: libpq takes it as it is
			return s
		}
		q, err := postgres.QuoteConninfo(s)
		if err != nil {
			b.errorf(n, "Write another value.", "the connection string of %s: %v", n.Name, err)
		}
		return q
	}
	return fmt.Sprintf("host=%s port=%d user=%s passfile=%s application_name=%s",
		word(up.Address), up.Port, word(b.c.Replication.User), word(b.node(n).Paths.State+"/passfile"), word(n.Name))
}
