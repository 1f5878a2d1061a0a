package planner

import (
	"pg_manage/schema"
)

// New plans the way from what was observed to what is declared. It is pure: the
// same arguments give the same plan.
func New(desired *schema.Config, observed *Observed, opts Options) *Plan {
	p := &Plan{
		FormatVersion: FormatVersion, ToolVersion: opts.ToolVersion, Created: opts.Now,
		Selection: opts.Selection, Steps: []Step{}, Unchanged: []string{}, Clusters: []string{},
	}
	for _, c := range desired.Clusters {
		if opts.Restore != nil && opts.Restore.Cluster != c.Name {
			continue
		}
		p.Clusters = append(p.Clusters, c.Name)
		facts := observed.Clusters[c.Name]
		if facts == nil {
			facts = &ClusterFacts{}
		}
		b := newBuilder(desired, c, facts, opts)
		b.plan()
		b.finish()
		p.Findings = append(p.Findings, b.findings...)
		p.Steps = append(p.Steps, b.steps...)
	}
	busy := map[string]bool{} // also by what is not selected
	for _, s := range p.Steps {
		busy[s.Cluster+"/"+s.Node] = true
	}
	p.Steps = opts.Selection.apply(p.Steps)
	for _, f := range p.Findings {
		if f.Severity == schema.SeverityError {
			busy[f.Cluster+"/"+f.Node] = true
		}
	}
	for _, c := range desired.Clusters {
		for _, n := range c.Nodes {
			if id := c.Name + "/" + n.Name; !busy[id] && !busy[c.Name+"/"] {
				p.Unchanged = append(p.Unchanged, id)
			}
		}
	}
	p.Facts, p.Fingerprint = fingerprint(desired, observed, p.Steps, opts)
	return p
}

// plan makes the steps of one cluster, concern by concern. Needs may name steps
// that come later or that turn out not to be needed; finish sorts that out.
func (b *builder) plan() {
	b.unsupported()
	switch {
	case b.opts.Restore != nil:
		if !b.restoreInPlace(b.opts.Restore) {
			return
		}
	case b.interrupted():
		return
	default:
		b.unrecovered()
		for _, n := range b.c.Nodes {
			b.look(n)
		}
		if !b.topology() {
			return
		}
	}
	b.desiredSettings()
	b.standbyFloors()
	for _, n := range b.downstream() {
		if !b.halted[n.Name] {
			b.install(n)
		}
		if b.halted[n.Name] {
			continue
		}
		b.passfile(n)
		b.hookConfig(n)
		b.queues(n)
		if n == b.primary {
			b.planPrimary(n)
		} else {
			b.planStandby(n)
		}
	}
	b.slots()
	b.archiveCheck()
	b.restartOrder()
	b.endRestore()
	b.backups()
}
