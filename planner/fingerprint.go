package planner

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"

	"pg_manage/schema"
)

// fingerprint digests the declaration and, fact by fact, what a plan rests on.
// What moves by itself while a cluster works (positions, counters, process IDs,
// who is connected) is left out: it makes no plan stale.
func fingerprint(desired *schema.Config, observed *Observed, opts Options) (map[string]string, string) {
	facts := map[string]string{}
	put := func(name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			b = []byte(err.Error())
		}
		facts[name] = Digest(string(b))[:16]
	}
	for _, c := range desired.Clusters {
		put(c.Name+"/declaration", declaration(c))
		for _, n := range c.Nodes {
			f := observed.Node(c.Name, n.Name)
			if f == nil {
				f = &NodeFacts{}
			}
			id := c.Name + "/" + n.Name + "/"
			data, server, archives, host := f.Data, stable(f.Server), slices.Clone(f.Archives), f.Host
			data.Limits = nil   // follows the primary's settings, which are facts of their own
			if server.Running { // it moves on; of a stopped one it tells who is ahead
				data.Checkpoint, data.ControlState, data.Timeline = 0, "", 0
			}
			for i := range archives {
				archives[i].Evidence, archives[i].Error = "", ""
			}
			put(id+"reachable", f.Unreachable == "")
			put(id+"host", []any{host, f.Paths})
			put(id+"data_dir", data)
			put(id+"server", server)
			put(id+"files", f.Files)
			put(id+"archive", archives)
		}
	}
	names := make([]string, 0, len(facts))
	for name := range facts {
		names = append(names, name)
	}
	sort.Strings(names)
	var all strings.Builder
	for _, name := range names {
		all.WriteString(name + "=" + facts[name] + "\n")
	}
	put("tool", opts.Binaries)
	all.WriteString(facts["tool"])
	return facts, Digest(all.String())
}

// declaration is a cluster without the places in files that it was read from.
func declaration(c *schema.Cluster) schema.Cluster {
	d := *c
	d.Range = schema.Range{}
	d.Nodes = nil
	for _, n := range c.Nodes {
		m := *n
		m.Range = schema.Range{}
		d.Nodes = append(d.Nodes, &m)
	}
	if c.Replication != nil {
		r := *c.Replication
		r.Range = schema.Range{}
		d.Replication = &r
	}
	d.Archives = nil
	for _, archive := range c.Archives {
		a := *archive
		a.Range = schema.Range{}
		if a.Target != nil {
			t := *a.Target
			t.Range = schema.Range{}
			a.Target = &t
		}
		d.Archives = append(d.Archives, &a)
	}
	d.Backups, d.Exports = nil, nil
	if c.Bootstrap != nil {
		b := *c.Bootstrap
		b.Range = schema.Range{}
		d.Bootstrap = &b
	}
	return d
}

// stable is what of a server's facts only somebody's act changes.
func stable(s ServerFacts) ServerFacts {
	out := ServerFacts{
		Running: s.Running, Port: s.Port, Accepting: s.Accepting, PortTaken: s.PortTaken,
		Version: s.Version, InRecovery: s.InRecovery, Timeline: s.Timeline,
		Settings: s.Settings, AutoConf: s.AutoConf, FromOurFile: s.FromOurFile,
		PendingRestart: s.PendingRestart, ReplicationRole: s.ReplicationRole,
	}
	for _, slot := range s.Slots {
		out.Slots = append(out.Slots, Slot{Name: slot.Name, Type: slot.Type})
	}
	sort.Slice(out.Slots, func(i, j int) bool { return out.Slots[i].Name < out.Slots[j].Name })
	if r := s.Receiver; r != nil {
		out.Receiver = &Receiver{SenderHost: r.SenderHost, SenderPort: r.SenderPort, Slot: r.Slot}
	}
	return out
}
