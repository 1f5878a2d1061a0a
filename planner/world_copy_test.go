package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (m *machine) copy() *machine {
	c := *m
	c.installed, c.hooks, c.passfiles = maps.Clone(m.installed), maps.Clone(m.hooks), maps.Clone(m.passfiles)
	c.aside = slices.Clone(m.aside)
	if m.inst != nil {
		i := *m.inst
		i.auto, i.roles, i.slots, i.live = maps.Clone(i.auto), maps.Clone(i.roles), maps.Clone(i.slots), maps.Clone(i.live)
		c.inst = &i
	}
	return &c
}

// end is the world without positions: two that were brought to the same state say
// the same.
func (w *world) end() string {
	var b strings.Builder
	for _, host := range sortedKeys(w.machines) {
		m := w.machines[host]
		fmt.Fprintf(&b, "%s installed=%v hooks=%v passfiles=%v included=%t aside=%d\n%s%s", host, m.installed, m.hooks, m.passfiles, m.included, len(m.aside), m.conf, m.hba)
		if i := m.inst; i != nil {
			_, _, streams := w.source(i)
			fmt.Fprintf(&b, "id=%s timeline=%d restored=%q signal=%t auto=%v roles=%v slots=%v running=%t primary=%t live=%v pending=%v hba=%q streams=%t\n",
				i.id, i.timeline, i.restored, i.signal, i.auto, i.roles, i.slots, i.running, i.primary, i.live, i.pending, i.liveHBA, streams)
		}
	}
	for _, at := range sortedKeys(w.backups) {
		fmt.Fprintf(&b, "%s has %d backups\n", at, len(w.backups[at]))
	}
	fmt.Fprintf(&b, "%v", w.archives)
	return b.String()
}
