package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pg_manage/schema"
)

// install puts our binaries on a node that archives, where PostgreSQL calls them, or that
// has to do with base backups.
func (b *builder) install(n *schema.Node) {
	if !b.c.Archived() && len(b.c.Backups) == 0 && b.wanted() == nil {
		return
	}
	f := b.node(n)
	want := b.opts.Binaries[f.Host.Arch]
	if len(want) == 0 {
		b.errorf(n, fmt.Sprintf("Put pg_manage-linux-%s beside the pg_manage that you run.", f.Host.Arch), "%s is a %s machine, and there is no pg_manage for it at hand", n.Name, f.Host.Arch)
		return
	}
	var stale []string
	s := Step{Action: ActionUpdate, Reason: "another version is installed"}
	for _, name := range sortedKeys(want) {
		if f.Host.Installed[name] != want[name] {
			stale = append(stale, name)
			s.Post = append(s.Post, Condition{Node: n.Name, Fact: FactBinary, Arg: name, Want: want[name]})
		}
	}
	if len(stale) == 0 {
		return
	}
	if len(f.Host.Installed) == 0 {
		s.Action, s.Reason = ActionCreate, "they are not installed"
	}
	s.Summary = "install " + strings.Join(stale, " and ") + " in " + f.Paths.Tool
	files := map[string]string{}
	for _, name := range stale {
		files[name] = want[name]
	}
	b.add(n, InstallDetail{Arch: f.Host.Arch, Files: files}, s)
}

// passfile puts the replication password where libpq looks for it, on every node,
// so that any of them can stream from any other.
func (b *builder) passfile(n *schema.Node) {
	if b.c.Replication == nil || b.halted[n.Name] || b.node(n).Files.PassfileMatches {
		return
	}
	b.add(n, PassfileDetail{User: b.c.Replication.User}, Step{
		Blocked: b.noRole(),
		Action:  ActionCreate, Summary: "write the replication password to " + b.node(n).Paths.State + "/passfile",
		Reason:  "the file is absent, or its content or mode is not what is declared",
		Changes: []Change{{Name: "password", Sensitive: true}},
		Post:    []Condition{{Node: n.Name, Fact: FactPassfile, Want: "current"}},
	})
}

// noRole says why the replication role can't be made what is declared: nothing may
// begin to log in with it then. "" when it is, or this plan makes it so.
func (b *builder) noRole() string {
	r := b.node(b.primary).Server.ReplicationRole
	if !b.halted[b.primary.Name] || r != nil && r.Login && r.Replication && r.PasswordMatches {
		return ""
	}
	return fmt.Sprintf("nothing can be planned for %s, the primary, which has the role to log in with", b.primary.Name)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
