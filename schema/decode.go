package schema

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// declarations keep the block that each object was read from, so that a finding
// about the object has the place of the argument.
type declarations struct {
	clusters    map[*Cluster]*block
	nodes       map[*Node]*nodeBlocks
	targets     map[string]*Target
	targetNames []string
}

// nodeBlocks are the blocks that a node's arguments come from.
type nodeBlocks struct {
	node, cluster *block
	connection    []*block // the node's own first
}

func newDeclarations() declarations {
	return declarations{clusters: map[*Cluster]*block{}, nodes: map[*Node]*nodeBlocks{}, targets: map[string]*Target{}}
}

// decode turns the blocks of all files into targets and clusters. Targets come
// first, since clusters refer to them.
func (l *loader) decode(blocks []*block) {
	var targets, clusters []*block
	for _, b := range blocks {
		switch b.kind {
		case "target":
			targets = append(targets, b)
		case "cluster":
			clusters = append(clusters, b)
		}
	}
	l.distinctLabels(targets)
	for _, b := range targets {
		t := l.target(b)
		l.config.Targets = append(l.config.Targets, t)
		if _, dup := l.decls.targets[t.Name]; !dup {
			l.decls.targets[t.Name] = t
			l.decls.targetNames = append(l.decls.targetNames, t.Name)
		}
	}
	l.distinctLabels(clusters)
	for _, b := range clusters {
		c := l.cluster(b)
		l.config.Clusters = append(l.config.Clusters, c)
		l.decls.clusters[c] = b
	}
}

// nameText is the form of the names of clusters, nodes and targets: they stand
// in paths and application names.
var nameText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// distinctLabels checks the names of blocks of one kind in one place.
func (l *loader) distinctLabels(blocks []*block) {
	first := map[string]*block{}
	for _, b := range blocks {
		name := b.label()
		if name != "" {
			if f := first[name]; f != nil {
				l.errorAt(b.labelRange(), fmt.Sprintf("%s is declared twice", capital(b.called())),
					fmt.Sprintf("It is already declared at %s. Give one of them another name.", rangeOf(f.labelRange())))
				continue
			}
			first[name] = b
		}
		l.checkName(b)
	}
}

func (l *loader) checkName(b *block) {
	if name := b.label(); !nameText.MatchString(name) {
		l.errorAt(b.labelRange(), fmt.Sprintf("%q cannot be the name of a %s", name, b.kind),
			"A name has 1 to 63 letters, digits, underscores, dots and hyphens, and starts with a letter or digit.")
	}
}

// target reads a target block.
func (l *loader) target(b *block) *Target {
	t := &Target{
		Name:         b.label(),
		ArchiveDir:   l.subdir(b, "archive_dir", "pg_archlog"),
		BackupDir:    l.subdir(b, "backup_dir", "pg_hotbackup"),
		ExportDir:    l.subdir(b, "export_dir", "pg_export"),
		HostKeys:     b.texts("host_keys"),
		IdentityFile: b.absPath("identity_file"),
		Compression:  or(b.oneOf("compression", "zstd", "lz4", "gzip", "none"), "zstd"),
		Recipients:   b.texts("recipients"),
		Range:        rangeOf(b.def),
	}
	if b.require("url", `url = "ssh://backup@10.0.0.100/backup"`) {
		t.URL = l.url(b, "url")
	}
	l.checkTarget(b, t)
	return t
}

// subdir reads a folder below the target's path.
func (l *loader) subdir(b *block, name, otherwise string) string {
	s := b.text(name)
	switch {
	case s == "":
		return otherwise
	case strings.HasPrefix(s, "/"), hasDotDot(s), cleanPath(s) == ".":
		b.wrong(name, fmt.Sprintf("%q is not a folder below the target's path", s),
			fmt.Sprintf("Write a name relative to the path of the url, for example %s = %q.", name, otherwise))
		return otherwise
	}
	return cleanPath(s)
}

// checkTarget finds arguments that do not go together.
func (l *loader) checkTarget(b *block, t *Target) {
	dirs := map[string]string{}
	for _, d := range [][2]string{{"archive_dir", t.ArchiveDir}, {"backup_dir", t.BackupDir}, {"export_dir", t.ExportDir}} {
		if other := dirs[d[1]]; other != "" {
			b.wrong(d[0], fmt.Sprintf("%q and %q are the same folder", other, d[0]), "Give each a folder of its own.")
		}
		dirs[d[1]] = d[0]
	}
	for i, r := range t.Recipients {
		if !recipientText.MatchString(r) {
			b.wrongElement("recipients", i, fmt.Sprintf("%q is not an age recipient", abbreviated(r)),
				recipientHelp(r))
		}
	}
	if t.URL.Scheme == "" || t.URL.Scheme == "ssh" {
		return
	}
	for _, name := range []string{"host_keys", "identity_file"} {
		if b.has(name) {
			b.wrong(name, fmt.Sprintf("%q is for ssh:// targets", name), fmt.Sprintf("This target is %s://: remove the argument.", t.URL.Scheme))
		}
	}
}

// recipientText is the form of an age X25519 or hybrid public key (age-encryption.org/v1).
var recipientText = regexp.MustCompile(`^(age1[02-9ac-hj-np-z]{58,}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?)$`)

func recipientHelp(r string) string {
	if strings.HasPrefix(strings.ToUpper(r), "AGE-SECRET-KEY-") {
		return "This is a secret key: replace it, since it has been in a file. The recipient is the public key that age-keygen prints; it begins with age1."
	}
	return "A recipient is the public key that age-keygen prints: age1 and 58 letters and digits."
}

// abbreviated shows the start of what may be a secret key.
func abbreviated(s string) string {
	if len(s) <= 12 {
		return s
	}
	return strings.ToValidUTF8(s[:12], "") + "..."
}

// or gives the first of two texts unless it is empty.
func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func hasDotDot(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

func cleanPath(p string) string { return path.Clean(p) }
