package planner

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"time"

	"pg_manage/schema"
)

// fingerprint digests the declaration and, fact by fact, what a plan rests on.
// What moves by itself while a cluster works (positions, counters, process IDs,
// who is connected) is left out: it makes no plan stale.
func fingerprint(desired *schema.Config, observed *Observed, steps []Step, opts Options) (map[string]string, string) {
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
				archives[i].Evidence, archives[i].Error, archives[i].Took = "", "", time.Time{}
			}
			put(id+"reachable", f.Unreachable == "")
			put(id+"host", []any{host, f.Paths})
			put(id+"data_dir", data)
			put(id+"server", server)
			put(id+"files", f.Files)
			put(id+"archive", archives)
			if cats := stableCatalogs(f.Catalogs); len(cats) > 0 {
				put(id+"backups", cats)
			}
			if f.Intent != nil {
				put(id+"restore", f.Intent)
			}
			if len(f.Used) > 0 {
				put(id+"used", f.Used)
			}
		}
	}
	// What is due changes as time passes, on the same facts.
	for _, c := range desired.Clusters {
		var due []any
		for _, s := range steps {
			if d, ok := s.Detail.(ExpireDetail); s.Cluster == c.Name && (ok || s.Kind == KindBackup || s.Kind == KindProve) {
				due = append(due, []any{s.ID, d.Labels})
			}
		}
		if due != nil {
			put(c.Name+"/due", due)
		}
	}
	if opts.Restore != nil {
		w := opts.Restore.Want
		w.Range, w.Target = schema.Range{}, place(w.Target)
		put(opts.Restore.Cluster+"/restore", w)
		if opts.Restore.Delta {
			put(opts.Restore.Cluster+"/delta", true)
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
		a.Target = place(a.Target)
		d.Archives = append(d.Archives, &a)
	}
	d.Exports = nil
	d.Backups = nil
	for _, backup := range c.Backups {
		k := *backup
		k.Range = schema.Range{}
		k.Target = place(k.Target)
		d.Backups = append(d.Backups, &k)
	}
	if c.Bootstrap != nil {
		b := *c.Bootstrap
		b.Range = schema.Range{}
		if b.Restore != nil {
			r := *b.Restore
			r.Range = schema.Range{}
			r.Target = place(r.Target)
			b.Restore = &r
		}
		d.Bootstrap = &b
	}
	return d
}

// place is a target without the place in a file that it was read from.
func place(t *schema.Target) *schema.Target {
	if t == nil {
		return nil
	}
	u := *t
	u.Range = schema.Range{}
	return &u
}

// stableCatalogs are the backups by what is known of them; what a target says of an outage
// changes from time to time.
func stableCatalogs(all []CatalogFact) []any {
	var out []any
	for _, c := range all {
		out = append(out, []any{c.Target, c.Cluster, c.Known})
		for _, x := range c.Backups {
			out = append(out, []any{x.Label, x.Broken != "", x.Pinned, x.Proven})
		}
	}
	return out
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
