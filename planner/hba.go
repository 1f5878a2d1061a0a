package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pg_manage/schema"
)

// Marks around the lines of pg_hba.conf that are ours.
const (
	HBABegin = "# BEGIN pg_manage"
	HBAEnd   = "# END pg_manage"
)

// hbaBlock are the lines that let the nodes replicate from each other, the same on
// all of them so that a change of roles needs no change here, and the declared ones.
func (b *builder) hbaBlock(n *schema.Node) string {
	var lines []string
	if r := b.c.Replication; r != nil {
		for _, o := range b.c.Nodes {
			line := fmt.Sprintf("host replication %s %s scram-sha-256", hbaWord(r.User), hbaAddress(o.Address))
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	lines = append(lines, n.HBA...)
	if len(lines) == 0 {
		return ""
	}
	return HBABegin + "\n# Change the cluster file instead: what is changed here is gone with the next apply.\n" + strings.Join(lines, "\n") + "\n" + HBAEnd + "\n"
}

func hbaAddress(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		return fmt.Sprintf("%s/%d", ip, ip.BitLen())
	}
	return address
}

func hbaWord(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.$", r))
	}) < 0 // what begins with + / @ is a group, a pattern, a file
	if !plain || s == "" || s == "all" || s == "replication" {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

func (b *builder) hba(n *schema.Node) {
	if b.halted[n.Name] {
		return
	}
	f, want := b.node(n), b.hbaBlock(n)
	if f.Files.HBAErrors != "" {
		b.warnf(n, "PostgreSQL keeps the rules it read last until the file is right.", "pg_hba.conf on %s has mistakes: %s", n.Name, f.Files.HBAErrors)
	}
	if f.Files.HBA == want {
		if f.Files.Unread && !b.has(b.id(n, KindReload)) && !b.has(b.id(n, KindRestart)) { // an apply was cut off between the two
			b.activate(n, settingsDiff{reload: []string{"pg_hba.conf"}})
		}
		return
	}
	s := Step{
		Action: ActionUpdate, Summary: "write the marked block in pg_hba.conf", Reason: "the block differs from what is declared",
		Pre:   []Condition{{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)}},
		Post:  []Condition{{Node: n.Name, Fact: FactHBA, Want: Digest(want)}},
		Needs: []string{b.id(n, KindInit), b.id(n, KindBuild), b.id(n, KindRestore)},
		Undo:  "the file is put back when PostgreSQL finds a mistake in it",
	}
	switch {
	case f.Files.HBA == "":
		s.Action, s.Reason = ActionCreate, "pg_hba.conf has no block of ours"
	case want == "":
		s.Action, s.Reason = ActionRemove, "nothing is declared for it any more"
	}
	have := strings.Split(f.Files.HBA, "\n")
	for _, line := range strings.Split(want, "\n") {
		if line != "" && line[0] != '#' && !slices.Contains(have, line) {
			s.Changes = append(s.Changes, Change{Name: "rule", After: line})
		}
	}
	for _, line := range have {
		if line != "" && line[0] != '#' && !strings.Contains(want, line+"\n") {
			s.Changes = append(s.Changes, Change{Name: "rule", Before: line})
		}
	}
	b.add(n, HBADetail{Block: want}, s)
	if !b.has(b.id(n, KindReload)) && !b.has(b.id(n, KindRestart)) {
		b.activate(n, settingsDiff{reload: []string{"pg_hba.conf"}})
	}
}
