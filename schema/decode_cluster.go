package schema

import (
	"fmt"
	"math"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Defaults of what a cluster file may leave out.
const (
	defaultPort            = 5432
	defaultReplicationUser = "replicator"
	defaultTimeline        = "latest"
)

// Oldest and newest major version of PostgreSQL whose interfaces are known.
const (
	OldestVersion = 13
	NewestVersion = 18
)

// cluster reads a cluster block.
func (l *loader) cluster(b *block) *Cluster {
	c := &Cluster{Name: b.label(), Range: rangeOf(b.def)}
	if b.require("version", "version = 17") {
		c.Version = l.version(b)
	}
	if r := b.only("replication"); r != nil {
		c.Replication = l.replication(r)
	}
	l.archives(b.inner("archive"), c)
	l.distinctLabels(b.inner("backup"))
	for _, r := range b.inner("backup") {
		c.Backups = append(c.Backups, l.backup(r, c))
	}
	for _, r := range l.distinctExports(b.inner("export")) {
		c.Exports = append(c.Exports, &Export{
			Database: r.label(), Target: l.targetOf(r), MaxAge: r.duration("max_age"), Keep: l.keep(r), Range: rangeOf(r.def),
		})
	}
	if r := b.only("bootstrap"); r != nil {
		c.Bootstrap = l.bootstrap(r, c)
	}
	base := l.nodeDefaults(b)
	nodes := b.inner("node")
	l.distinctLabels(nodes)
	for _, nb := range nodes {
		c.Nodes = append(c.Nodes, l.node(nb, b, base))
	}
	return c
}

// version reads PostgreSQL's major version.
func (l *loader) version(b *block) int {
	if a, ok := b.shown("version"); ok && a.Type() == cty.Number {
		if f, _ := a.AsBigFloat().Float64(); f > 1 && f < 1000 && f != math.Trunc(f) {
			b.wrong("version", fmt.Sprintf("%v is not a major version", f), fmt.Sprintf("Write the major version alone: version = %d.", int(f)))
			return 0
		}
	}
	v := b.number("version", 1, 1_000_000)
	switch {
	case v == 0:
	case v > 999: // server_version_num, as in 170002
		b.wrong("version", fmt.Sprintf("%d is not a major version", v), fmt.Sprintf("Write the major version alone: version = %d.", v/10000))
		return 0
	case v < OldestVersion:
		b.wrong("version", fmt.Sprintf("PostgreSQL %d is too old", v),
			fmt.Sprintf("Versions from %d on are supported.", OldestVersion))
		return 0
	case v > NewestVersion:
		l.warnAt(b.place("version"), fmt.Sprintf("PostgreSQL %d is newer than this pg_manage", v),
			fmt.Sprintf("It has been tried with %d to %d. It will work as far as PostgreSQL has kept its interfaces; look for a newer pg_manage.", OldestVersion, NewestVersion))
	}
	return v
}

func (l *loader) replication(b *block) *Replication {
	r := &Replication{User: or(b.text("user"), defaultReplicationUser), Range: rangeOf(b.def)}
	if b.require("password", `password = env("REPLICATION_PASSWORD")`) {
		r.Password = b.secret("password")
	}
	if a := b.attrs["password"]; a != nil && len(a.Expr.Variables()) == 0 && isLiteral(a.Expr) && !r.Password.IsZero() {
		l.warnAt(a.NameRange, "The password stands in the file", "Whoever may read the file knows it. Write password = env(\"REPLICATION_PASSWORD\").")
	}
	switch {
	case b.bad["user"]:
	case len(r.User) > 63:
		b.wrong("user", "The name of the replication user is too long", "PostgreSQL's names have at most 63 bytes.")
	case strings.HasPrefix(r.User, "pg_"):
		b.wrong("user", fmt.Sprintf("%q cannot be a user", r.User), "PostgreSQL reserves names that begin with pg_. Write for example user = \"replicator\".")
	case r.User == "public" || r.User == "none" || r.User == "all" || r.User == "replication":
		b.wrong("user", fmt.Sprintf("%q cannot be a user", r.User), "It is a key word in PostgreSQL. Write for example user = \"replicator\".")
	case r.User == "postgres":
		l.warnAt(b.place("user"), "Standbys stream as the superuser",
			"Who gets the password from a standby has the whole cluster. A role that may only replicate is enough: user = \"replicator\".")
	}
	return r
}

// targetOf resolves the target that a block names; nil when it cannot be.
func (l *loader) targetOf(b *block) *Target {
	example := "nas"
	if len(l.decls.targetNames) > 0 {
		example = l.decls.targetNames[0]
	}
	if !b.require("target", fmt.Sprintf("target = %q", example)) {
		return nil
	}
	name := b.text("target")
	if name == "" {
		return nil
	}
	t := l.decls.targets[name]
	if t == nil {
		b.wrong("target", fmt.Sprintf("No target %q is declared", name),
			didYouMean(name, l.decls.targetNames, fmt.Sprintf("Declare it with: target %q { url = \"...\" }", name)))
	}
	return t
}

func (l *loader) backup(b *block, c *Cluster) *Backup {
	r := &Backup{
		Name:       b.label(),
		Target:     l.targetOf(b),
		MaxAge:     b.duration("max_age"),
		FullEvery:  b.duration("full_every"),
		Workers:    b.number("workers", 1, maxWorkers),
		Rate:       l.size(b, "rate", minRate, "A backup would take for ever: "),
		From:       or(b.oneOf("from", "primary", "standby", "prefer-standby"), "primary"),
		ProveEvery: b.duration("prove_every"),
		Keep:       l.keep(b),
		Range:      rangeOf(b.def),
	}
	if r.FullEvery > 0 && r.FullEvery <= r.MaxAge {
		b.wrong("full_every", `"full_every" is not longer than "max_age"`,
			"Every backup would be a full one: write a longer time, such as seven times max_age, or remove the argument.")
	}
	if k := b.only("keep"); k != nil && r.Keep.Window > 0 && !c.Archived() {
		k.wrong("window", "Recovery to any point needs a WAL archive", "Add archive { target = ... } to the cluster, or keep backups by full or age.")
	}
	return r
}

func (l *loader) keep(b *block) Keep {
	k := b.only("keep")
	if k == nil {
		return Keep{}
	}
	out := Keep{Full: k.number("full", 1, 1_000_000), Age: k.duration("age"), Window: k.duration("window")}
	if !k.has("full") && !k.has("age") && !k.has("window") && len(k.unknown) == 0 {
		l.errorAt(k.def, "Empty keep block", "Say what stays, for example full = 7; without a keep block everything stays.")
	}
	for _, name := range []string{"age", "window"} {
		if k.has(name) && !k.bad[name] && k.attrs[name] != nil && out.Age == 0 && out.Window == 0 {
			k.wrong(name, fmt.Sprintf("%q keeps nothing", name), `Write a length of time such as "14d".`)
		}
	}
	return out
}

// distinctExports drops a second rule for one database.
func (l *loader) distinctExports(blocks []*block) []*block {
	first := map[string]*block{}
	var out []*block
	for _, b := range blocks {
		name := b.label()
		switch f := first[name]; {
		case name == "" || len(name) > 63 || strings.ContainsAny(name, "\x00\n\r/"):
			l.errorAt(b.labelRange(), fmt.Sprintf("%q cannot be the name of a database here", name), "It has 1 to 63 bytes, without slashes and line breaks.")
		case f != nil:
			l.errorAt(b.labelRange(), fmt.Sprintf("%s is declared twice", capital(b.called())),
				fmt.Sprintf("It is already declared at %s. Put both into one.", rangeOf(f.labelRange())))
		default:
			first[name] = b
			out = append(out, b)
		}
	}
	return out
}
