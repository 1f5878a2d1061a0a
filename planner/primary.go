package planner

import (
	"fmt"
	"strings"

	"pg_manage/schema"
)

// planPrimary brings the node that is, or is to become, the primary to life.
func (b *builder) planPrimary(n *schema.Node) {
	f := b.node(n)
	switch {
	case f.vacant() && b.inPlace != nil:
		b.restoreInstance(n, "", nil)
	case f.vacant():
		b.initInstance(n)
	case f.Data.Restored != "":
		to := "as far as the restore of it said"
		if w := b.wanted(); w != nil && restoreMark(*w) == f.Data.Restored {
			to = RecoveryText(*w)
		}
		b.recover(n, f.Data.Restored, to)
	case !f.Server.Running:
		b.start(n, b.mayContradict(n))
	}
	b.createArchives(n)
	b.settings(n)
	b.hba(n)
	b.role(n)
}

// mayContradict says why bringing up n as a primary cannot be trusted: some other
// node has not been seen, or has gone on without it. "" when nothing is in the way.
func (b *builder) mayContradict(n *schema.Node) string {
	if names := b.unobserved(n); len(names) > 0 {
		return fmt.Sprintf("%s could not be looked at: if it has become primary, there would be two", strings.Join(names, ", "))
	}
	f := b.node(n)
	for _, o := range b.c.Nodes {
		of := b.node(o)
		if o == n || !of.holds() || of.Data.SystemIdentifier != f.Data.SystemIdentifier {
			continue
		}
		switch {
		case of.timeline() > f.timeline():
			return fmt.Sprintf("%s is on timeline %d, %s on %d: the cluster went on without it", o.Name, of.timeline(), n.Name, f.timeline())
		case of.timeline() == f.timeline() && of.ahead(f):
			return fmt.Sprintf("%s has WAL up to %s, %s ends at %s: it would begin without what %s has", o.Name, of.position(), n.Name, f.Data.Checkpoint, o.Name)
		case of.timeline() == f.timeline() && !of.standbyData():
			return fmt.Sprintf("%s is stopped and no standby either, on the same timeline %d: nobody can say which of the two was the primary", o.Name, of.timeline())
		}
	}
	return ""
}

func (b *builder) initInstance(n *schema.Node) {
	f := b.node(n)
	blocked := ""
	if names := b.unobserved(n); len(names) > 0 {
		blocked = fmt.Sprintf("%s could not be looked at, and may hold the data of this cluster", strings.Join(names, ", "))
	}
	if f.Files.Settings != "" { // written only after the data directory was made
		blocked = fmt.Sprintf("%s/%s says that %s held data before: see whether a file system is not mounted, and remove the file to begin anew", f.Paths.ConfigDir, SettingsFile, n.Name)
	}
	if len(f.Data.Aside) > 0 {
		blocked = fmt.Sprintf("a former data directory of %s is kept at %s: put it back, or move it elsewhere to begin anew", n.Name, strings.Join(f.Data.Aside, ", "))
	}
	pre := []Condition{
		{Node: n.Name, Fact: FactDataState, Want: string(DataAbsent), Or: []string{string(DataEmpty)}},
	}
	for _, o := range b.c.Nodes {
		if o == n {
			continue
		}
		of := b.node(o)
		if of.Data.State == DataForeign {
			blocked = fmt.Sprintf("the data directory of %s holds something that is not recognised, and may be what is left of this cluster", o.Name)
		}
		if of.Data.State == DataUnfinished {
			blocked = fmt.Sprintf("a restore of this cluster was cut off on %s", o.Name)
		}
		if of.holds() {
			blocked = fmt.Sprintf("%s holds data of a cluster (system identifier %s): a new cluster on %s would not be its source. Declare %s as primary, or restore %s", o.Name, of.Data.SystemIdentifier, n.Name, o.Name, n.Name)
		}
		pre = append(pre, Condition{Node: o.Name, Fact: FactDataState, Want: string(DataAbsent), Or: []string{string(DataEmpty)}})
	}
	if b.wanted() != nil {
		b.restoreInstance(n, blocked, pre)
		return
	}
	if x := b.ownBackup(n); x != "" {
		blocked = x
	}
	d := InitDetail{}
	if b.c.Bootstrap != nil {
		d.Locale = b.c.Bootstrap.Locale
	}
	id := b.add(n, d, Step{
		Action: ActionCreate, Summary: fmt.Sprintf("create a new PostgreSQL %d cluster in %s", b.c.Version, f.Paths.DataDir),
		Reason:  fmt.Sprintf("%s is declared primary, its data directory is %s, and no node holds data", n.Name, f.Data.State),
		Blocked: blocked, Pre: pre, Commands: initCommands(b.c.Version, f, n.Port),
		Post: []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
	})
	b.start(n, "", id)
}

// ownBackup says that there are base backups of a cluster of this name, or may be: an empty
// one in its place is hardly what is meant.
func (b *builder) ownBackup(n *schema.Node) string {
	for _, x := range b.backupTargets() {
		cat := b.facts.Catalog(x.target.Name, b.c.Name)
		if cat != nil && !cat.Known && !b.has(b.id(n, KindInstall)) { // an older program may not have understood
			return fmt.Sprintf("the base backups of %s at %s are not known (%s), and there may be some of the cluster that was here", b.c.Name, x.target.URL.String(), cat.Error)
		}
		if cat != nil && len(cat.Backups) > 0 {
			return fmt.Sprintf("there are base backups of %s at %s, the newest %s: `pg_manage restore %s` brings the cluster back. To begin anew, move them away or declare another backup_dir",
				b.c.Name, x.target.URL.String(), newestLabel(cat), b.c.Name)
		}
	}
	return ""
}

func initCommands(version int, f *NodeFacts, port int) []string {
	if f.Paths.Manager != ManagerPgCtl && f.Host.OSFamily == "debian" {
		return []string{fmt.Sprintf("pg_createcluster --port=%d %d %s -- --data-checksums --encoding=UTF8", port, version, debianName(f.Paths.DataDir))}
	}
	return []string{fmt.Sprintf("initdb --pgdata=%s --data-checksums --encoding=UTF8 --auth-local=peer --auth-host=scram-sha-256", shellQuote(f.Paths.DataDir))}
}

func debianName(dataDir string) string { return dataDir[strings.LastIndexByte(dataDir, '/')+1:] }

// role makes the role that standbys stream with usable.
func (b *builder) role(n *schema.Node) {
	r := b.c.Replication
	if r == nil || b.halted[n.Name] {
		return
	}
	s := &b.node(n).Server
	reason, create := "not known before the server runs", true
	if s.Accepting {
		switch have := s.ReplicationRole; {
		case have == nil:
			reason = fmt.Sprintf("role %s does not exist", r.User)
		case !have.PasswordMatches:
			reason, create = "its password is not the declared one", false
		case !have.Login || !have.Replication:
			reason, create = "it may not log in and replicate", false
		default:
			return
		}
	}
	action, verb, command := ActionCreate, "create", "CREATE ROLE"
	if !create {
		action, verb, command = ActionUpdate, "alter", "ALTER ROLE"
	}
	b.add(n, RoleDetail{Name: r.User, Create: create}, Step{
		Action: action, Summary: fmt.Sprintf("%s replication role %s", verb, r.User), Reason: reason,
		Changes:  []Change{{Name: "password", Sensitive: true}},
		Commands: []string{fmt.Sprintf("psql -c \"%s %s LOGIN REPLICATION PASSWORD '...'\"", command, r.User)},
		Pre:      []Condition{{Node: n.Name, Fact: FactRole, Want: "primary"}},
		Post:     []Condition{{Node: n.Name, Fact: FactReplRole, Want: "usable"}},
		Needs:    []string{b.id(n, KindStart), b.id(n, KindRecover)}, // standbys may wait for it before the primary restarts
	})
}

// running are the steps after which the server of a node runs as declared.
func (b *builder) running(n *schema.Node) []string {
	return []string{b.id(n, KindStart), b.id(n, KindRecover), b.id(n, KindReload), b.id(n, KindRestart)}
}
