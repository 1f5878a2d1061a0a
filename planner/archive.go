package planner

import (
	"fmt"
	"strings"

	"pg_manage/schema"
)

// hookConfig writes what archive_command and restore_command work from. The archiver on
// the node takes a changed file by itself.
func (b *builder) hookConfig(n *schema.Node) {
	if !b.c.Archived() || b.halted[n.Name] {
		return
	}
	f, want := b.node(n), NewHookConfig(b.c, n.Name, b.node(n).Paths)
	if f.Files.HookConfig == want.Encode() {
		return
	}
	have, readable := DecodeHookConfig(f.Files.HookConfig)
	s := Step{
		Action: ActionUpdate, Summary: "write the archive configuration for " + targetNames(want.Targets), Reason: "it differs from what is declared",
		Changes: hookChanges(have, want),
		Post:    []Condition{{Node: n.Name, Fact: FactHookConfig, Want: Digest(want.Encode())}},
		Needs:   []string{b.id(n, KindInstall)},
	}
	switch {
	case f.Files.HookConfig == "":
		s.Action, s.Reason = ActionCreate, f.Paths.State+"/hook.json does not exist"
	case !readable:
		s.Reason = "it was written by another version of pg_manage"
	}
	b.add(n, HookConfigDetail{Config: want}, s)
}

// archiveURL is where the archive of the cluster lies at a target.
func archiveURL(c *schema.Cluster, t *schema.Target) string {
	return strings.TrimSuffix(t.URL.String(), "/") + "/" + t.ArchiveDir + "/" + c.Name
}

// createArchives gives the cluster an archive of its own at each target.
func (b *builder) createArchives(n *schema.Node) {
	for _, a := range ArchiveOrder(b.c) {
		if b.halted[n.Name] {
			return
		}
		b.createArchive(n, a)
	}
}

func (b *builder) createArchive(n *schema.Node, a *schema.Archive) {
	f, where := b.node(n), a.Target.URL.String()
	reason := "the target is not known before the node can ask it"
	switch fact := f.Archive(a.Target.Name); fact.State {
	case ArchiveOurs:
		if (f.holds() || b.inPlace != nil) && fact.SystemIdentifier == f.Data.SystemIdentifier {
			return
		}
		b.errorf(n, "Give this cluster another name or another archive_dir, or move the old archive away. Two clusters never share an archive.",
			"the archive of %s at %s belongs to another cluster (system identifier %s)", b.c.Name, where, fact.SystemIdentifier)
		b.block(n, "the archive belongs to another cluster")
		return
	case ArchiveForeign:
		b.errorf(n, "Move them away, or declare another archive_dir. A new archive must be empty.",
			"the directory for the archive of %s at %s holds files that are not ours", b.c.Name, where)
		b.block(n, "the archive's directory is not empty")
		return
	case ArchiveUnreachable:
		if !a.Required { // it is created when it can be: until then WAL for it waits on the node
			b.warnf(n, strings.TrimSpace(sentence(fact.Error)+" WAL for it waits on the node meanwhile. The archive is not required, so nothing else waits for it."),
				"%s cannot reach the archive at %s", n.Name, where)
			return
		}
		b.warnf(n, fact.Error, "%s cannot reach the archive at %s", n.Name, where)
		if arch := f.Server.Archiver; arch != nil && !arch.LastTime.IsZero() && f.Files.HookConfig == NewHookConfig(b.c, n.Name, f.Paths).Encode() {
			return // it exists: it has taken WAL with this very configuration
		}
		reason = "the target did not answer when asked"
	case ArchiveAbsent:
		why := b.vanished(a.Target, UsedForArchive)
		if why == "" && !fact.Took.IsZero() {
			why = fmt.Sprintf("PostgreSQL on %s archived WAL there at %s, and nothing is there now: is a disk not mounted, on the machine that has it? Mount it. If what was there is gone for good, run SELECT pg_stat_reset_shared('archiver') on %s, and it is taken for a new one",
				n.Name, fact.Took.UTC().Format("2006-01-02 15:04:05 MST"), n.Name)
		}
		switch {
		case why != "" && !a.Required:
			b.warnf(n, sentence(why)+" It is not created anew. The archive is not required, so nothing else waits for it.", "the archive of %s at %s is not there any more", b.c.Name, where)
			return
		case why != "":
			b.errorf(n, sentence(why)+" Nothing is written there before.", "the archive of %s at %s is not there any more", b.c.Name, where)
			b.block(n, "the archive is not there any more")
			return
		}
		reason = "there is no archive of this cluster at the target"
	}
	s := Step{
		Action: ActionCreate, Summary: "create the WAL archive at " + where, Reason: reason,
		Pre:   []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
		Needs: []string{b.id(n, KindInstall), b.id(n, KindHookConfig), b.id(n, KindInit), b.id(n, KindRestore)},
	}
	if a.Required { // of another one it may turn out only then that it cannot be reached
		s.Post = []Condition{{Node: n.Name, Fact: FactArchive, Arg: a.Target.Name, Want: string(ArchiveOurs)}}
	}
	b.add(n, CreateArchiveDetail{Target: a.Target.Name, Required: a.Required}, s, a.Target.Name)
}

// archivesCreated are the steps that create what PostgreSQL's archiving on n needs: the
// required archives. Nothing waits for the others.
func (b *builder) archivesCreated(n *schema.Node) []string {
	var ids []string
	for _, a := range b.c.Archives {
		if a.Required {
			ids = append(ids, b.id(n, KindCreateArchive, a.Target.Name))
		}
	}
	return ids
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
	if !b.c.Archived() || b.halted[n.Name] {
		return
	}
	f := b.node(n)
	if a := f.Server.Archiver; a.Failing() {
		detail := "Its log has the reason."
		if why := f.Archiving.Archiver.Error; why != "" {
			detail = sentence(why)
		}
		b.warnf(n, detail+" WAL stays on the node until the archive takes it.",
			"archiving on %s fails since %s, at %s (%d segments wait)", n.Name, a.FailedTime.UTC().Format("2006-01-02 15:04:05 MST"), a.FailedWAL, a.Ready)
	}
	created := b.archivesCreated(n)
	news := append([]string{b.id(n, KindHookConfig), b.id(n, KindInit)}, created...)
	for _, id := range news {
		if !b.has(id) {
			continue
		}
		b.add(n, CheckArchiveDetail{}, Step{
			Action: ActionUpdate, Summary: "send a WAL segment to the archive and see it arrive", Reason: "the way to the archive is new",
			Commands: []string{"psql -c 'SELECT pg_switch_wal()'"},
			Pre:      []Condition{{Node: n.Name, Fact: FactRole, Want: "primary"}},
			Needs:    append(b.running(n), append(created, b.id(n, KindHookConfig))...),
		})
		return
	}
}

// queues tells of WAL that did not get to a target: what waits because a target that is
// not required fails, and what was dropped.
func (b *builder) queues(n *schema.Node) {
	f := b.node(n)
	for _, a := range ArchiveOrder(b.c) {
		q, where := f.Archiving.Queue(a.Target.Name), a.Target.URL.String()
		if q == nil {
			continue
		}
		if q.Error != "" && !a.Required && f.Archive(a.Target.Name).State != ArchiveUnreachable { // which has been told
			b.warnf(n, sentence(q.Error)+" They are stored as soon as the target takes them.",
				"%s of WAL on %s waiting for the archive at %s, which fails", segments(q.Segments), n.Name, where)
		}
		for _, d := range q.Dropped {
			since := ""
			if !d.Since.IsZero() {
				since = ", since " + d.Since.UTC().Format("2006-01-02 15:04:05 MST")
			}
			b.warnf(n, fmt.Sprintf("No recovery at that target gets past %s, from any base backup before it. `pg_manage archive push-missing %s` stores what is still in pg_wal; for the rest, take a new base backup.",
				d.From, shellQuote(b.c.Name+"/"+n.Name)),
				"WAL on %s was dropped for the archive at %s, from %s to %s (%s%s)", n.Name, where, d.From, d.To, segments(d.Segments), since)
		}
	}
}

func segments(n int) string {
	if n == 1 {
		return "1 segment"
	}
	return fmt.Sprintf("%d segments", n)
}

// sentence gives a message of somebody else its full stop. What is there to be copied,
// on a line of its own, gets none.
func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	if strings.Contains(s, "\n") {
		return s + "\n"
	}
	return s + "."
}
