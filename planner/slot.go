package planner

import (
	"fmt"
	"slices"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// slots gives each standby a slot on its upstream, and takes away the ones that it
// no longer uses elsewhere.
func (b *builder) slots() {
	if b.c.Replication == nil {
		return
	}
	for _, n := range b.c.Nodes {
		up := b.upstream(n)
		if n == b.primary || up == nil || b.halted[up.Name] || b.node(n).Unreachable != "" {
			continue
		}
		b.createSlot(n, up)
	}
	for _, n := range b.c.Nodes {
		for _, slot := range b.node(n).Server.Slots {
			if slot.Type == "physical" && strings.HasPrefix(slot.Name, "pg_manage_") {
				b.staleSlot(n, slot)
			}
		}
	}
}

func (b *builder) createSlot(n, up *schema.Node) {
	name := postgres.SlotName(n.Name)
	s, reason := &b.node(up).Server, "not known before the server runs"
	if s.Accepting {
		have := s.slot(name)
		if have != nil {
			if have.WALStatus == "lost" {
				b.warnf(n, "It catches up from the archive if that has the WAL; otherwise move its data directory away and apply again.",
					"slot %s on %s has lost the WAL that %s needs", name, up.Name, n.Name)
			}
			return
		}
		reason = fmt.Sprintf("%s streams from %s, which has no slot for it", n.Name, up.Name)
	}
	b.add(up, SlotDetail{Name: name}, Step{
		Action: ActionCreate, Summary: fmt.Sprintf("create replication slot %s for %s", name, n.Name), Reason: reason,
		Commands: []string{fmt.Sprintf("psql -c \"SELECT pg_create_physical_replication_slot('%s', true)\"", name)},
		Pre:      []Condition{{Node: up.Name, Fact: FactAccepting, Want: "true"}},
		Post:     []Condition{{Node: up.Name, Fact: FactSlot, Arg: name, Want: "present"}},
		Needs:    b.running(up),
	}, name)
}

// willStream says that a standby streams, or that this plan makes it.
func (b *builder) willStream(n *schema.Node) bool {
	if r := b.node(n).Server.Receiver; r != nil && r.Status == "streaming" {
		return true
	}
	return b.has(b.id(n, KindStart)) || b.repointed[n.Name]
}

// mends are the steps that may let a standby stream which does not.
func (b *builder) mends(n *schema.Node) []string {
	up := b.upstream(n)
	return append(b.running(up), b.id(b.primary, KindRole), b.id(n, KindPassfile), b.id(up, KindHBA), b.id(up, KindCreateSlot, postgres.SlotName(n.Name)))
}

// mendable says that this plan does something that may let n stream.
func (b *builder) mendable(n *schema.Node) bool {
	return !b.halted[b.upstream(n).Name] && slices.ContainsFunc(b.mends(n), b.has)
}

func (b *builder) staleSlot(n *schema.Node, slot Slot) {
	for _, o := range b.c.Nodes {
		if postgres.SlotName(o.Name) != slot.Name {
			continue
		}
		up := b.upstream(o)
		if up == n && o != b.primary || b.halted[o.Name] || b.node(o).Unreachable != "" || b.halted[n.Name] || b.has(b.id(n, KindBuild)) {
			return
		}
		s := Step{
			Action: ActionRemove, Summary: "drop replication slot " + slot.Name,
			Reason:   fmt.Sprintf("%s no longer streams from %s; the slot would keep WAL for ever", o.Name, n.Name),
			Commands: []string{fmt.Sprintf("psql -c \"SELECT pg_drop_replication_slot('%s')\"", slot.Name)},
			Pre:      []Condition{{Node: n.Name, Fact: FactAccepting, Want: "true"}},
			Post:     []Condition{{Node: n.Name, Fact: FactSlot, Arg: slot.Name, Want: "absent"}},
			Needs:    append(b.running(o), b.id(n, KindStart)),
		}
		if o == b.primary {
			s.Pre = append(s.Pre, Condition{Node: o.Name, Fact: FactRole, Want: "primary"})
		} else {
			if up == nil || b.halted[up.Name] || !b.willStream(o) && !b.mendable(o) {
				b.warnf(n, fmt.Sprintf("It is dropped once %s streams from its own upstream.", o.Name), "slot %s on %s stays, and keeps WAL: %s does not stream", slot.Name, n.Name, o.Name)
				return
			}
			s.Needs = append(s.Needs, b.mends(o)...)
			s.Pre = append(s.Pre, Condition{Node: o.Name, Fact: FactStreaming, Want: "true"})
		}
		b.add(n, SlotDetail{Name: slot.Name, Drop: true}, s, slot.Name)
		return
	}
	if !slot.Active {
		b.warnf(n, fmt.Sprintf("When its standby is gone for good: SELECT pg_drop_replication_slot('%s')", slot.Name),
			"slot %s on %s belongs to no declared node, and keeps WAL", slot.Name, n.Name)
	}
}
