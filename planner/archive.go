package planner

import (
	"fmt"

	"pg_manage/schema"
)

// hookConfig writes what archive_command and restore_command work from.
func (b *builder) hookConfig(n *schema.Node) {
	if b.c.Archive == nil || b.halted[n.Name] {
		return
	}
	f, want := b.node(n), b.wantHook(n)
	if f.Files.HookConfig == want.Encode() {
		return
	}
	s := Step{
		Action: ActionUpdate, Summary: "write the archive configuration for target " + want.Target.Name, Reason: "it differs from what is declared",
		Changes: []Change{{Name: "target", After: targetURL(b.c.Archive.Target.URL) + "/" + want.Target.ArchiveDir + "/" + want.Cluster}},
		Post:    []Condition{{Node: n.Name, Fact: FactHookConfig, Want: Digest(want.Encode())}},
		Needs:   []string{b.id(n, KindInstall)},
	}
	if f.Files.HookConfig == "" {
		s.Action, s.Reason = ActionCreate, f.Paths.State+"/hook.json does not exist"
	}
	b.add(n, HookConfigDetail{Config: want}, s)
}

func (b *builder) wantHook(n *schema.Node) HookConfig {
	t := b.c.Archive.Target
	return HookConfig{
		Version: 1, Cluster: b.c.Name, Node: n.Name, DataDir: b.node(n).Paths.DataDir, Compression: t.Compression,
		Target: HookTarget{
			Name: t.Name, Scheme: t.URL.Scheme, User: t.URL.User, Host: t.URL.Host, Port: t.URL.Port, Path: t.URL.Path,
			ArchiveDir: t.ArchiveDir, HostKeys: t.HostKeys, IdentityFile: t.IdentityFile,
		},
	}
}

func targetURL(u schema.URL) string {
	s := u.Scheme + "://"
	if u.User != "" {
		s += u.User + "@"
	}
	s += u.Host
	if u.Port != 0 {
		s += fmt.Sprintf(":%d", u.Port)
	}
	return s + u.Path
}

// createArchive gives the cluster an archive of its own at the target.
func (b *builder) createArchive(n *schema.Node) {
	if b.c.Archive == nil || b.halted[n.Name] {
		return
	}
	f := b.node(n)
	where := targetURL(b.c.Archive.Target.URL)
	reason := "the target is not known before the node can ask it"
	switch a := f.Archive; a.State {
	case ArchiveOurs:
		if f.holds() && a.SystemIdentifier == f.Data.SystemIdentifier {
			return
		}
		b.errorf(n, "Give this cluster another name or another archive_dir, or move the old archive away. Two clusters never share an archive.",
			"the archive of %s at %s belongs to another cluster (system identifier %s)", b.c.Name, where, a.SystemIdentifier)
		b.block(n, "the archive belongs to another cluster")
		return
	case ArchiveForeign:
		b.errorf(n, "Move them away, or declare another archive_dir. A new archive must be empty.",
			"the directory for the archive of %s at %s holds files that are not ours", b.c.Name, where)
		b.block(n, "the archive's directory is not empty")
		return
	case ArchiveUnreachable:
		b.warnf(n, a.Error, "%s cannot reach the archive at %s", n.Name, where)
		if arch := f.Server.Archiver; arch != nil && !arch.LastTime.IsZero() && f.Files.HookConfig == b.wantHook(n).Encode() {
			return // it exists: it has taken WAL with this very configuration
		}
		reason = "the target did not answer when asked"
	case ArchiveAbsent:
		reason = "there is no archive of this cluster at the target"
	}
	b.add(n, CreateArchiveDetail{}, Step{
		Action: ActionCreate, Summary: "create the WAL archive at " + where, Reason: reason,
		Pre:   []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
		Post:  []Condition{{Node: n.Name, Fact: FactArchive, Want: string(ArchiveOurs)}},
		Needs: []string{b.id(n, KindInstall), b.id(n, KindHookConfig), b.id(n, KindInit)},
	})
}

// block marks what is already planned for a node as not to be done.
func (b *builder) block(n *schema.Node, reason string) {
	for i := range b.steps {
		if b.steps[i].Node == n.Name && b.steps[i].Blocked == "" {
			b.steps[i].Blocked = reason
		}
	}
}

// archiveCheck proves a new way into the archive by sending a segment through it.
func (b *builder) archiveCheck() {
	n := b.primary
	if b.c.Archive == nil || b.halted[n.Name] {
		return
	}
	f := b.node(n)
	if a := f.Server.Archiver; a.Failing() {
		b.warnf(n, "Its log has the reason. WAL stays on the node until the archive takes it.",
			"archiving on %s fails since %s, at %s (%d segments wait)", n.Name, a.FailedTime.UTC().Format("2006-01-02 15:04:05 MST"), a.FailedWAL, a.Ready)
	}
	if !b.has(b.id(n, KindCreateArchive)) && !b.has(b.id(n, KindHookConfig)) && !b.has(b.id(n, KindInit)) {
		return
	}
	b.add(n, CheckArchiveDetail{}, Step{
		Action: ActionUpdate, Summary: "send a WAL segment to the archive and see it arrive", Reason: "the way to the archive is new",
		Commands: []string{"psql -c 'SELECT pg_switch_wal()'"},
		Pre:      []Condition{{Node: n.Name, Fact: FactRole, Want: "primary"}},
		Needs:    append(b.running(n), b.id(n, KindHookConfig), b.id(n, KindCreateArchive)),
	})
}
