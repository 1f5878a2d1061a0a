package schema

import "fmt"

// Least sizes. Below the first two a single checkpoint's WAL, or two segments, are too much.
const (
	minQueueLimit = 1 << 30
	minSpoolLimit = 32 << 20
	minRate       = 1 << 20 // a second, of base backups
)

// maxWorkers bounds how many segments are on their way at a time.
const maxWorkers = 32

// archives reads a cluster's archive blocks, one for each target.
func (l *loader) archives(blocks []*block, c *Cluster) {
	for _, b := range blocks {
		a := &Archive{
			Target: l.targetOf(b), Required: b.flag("required", true),
			QueueLimit: l.size(b, "queue_limit", minQueueLimit, "WAL beyond it is dropped, and with it recovery at this target: "),
			Range:      rangeOf(b.def),
		}
		l.distinctArchive(b, a, c, blocks)
		c.Archives = append(c.Archives, a)
	}
	l.archiving(blocks, c)
	l.someRequired(blocks, c)
}

// distinctArchive finds an archive that lies where an earlier one does.
func (l *loader) distinctArchive(b *block, a *Archive, c *Cluster, blocks []*block) {
	for i, other := range c.Archives {
		t, o := a.Target, other.Target
		switch {
		case t == nil || o == nil:
		case t == o:
			b.wrong("target", fmt.Sprintf("WAL goes to target %q already", t.Name),
				fmt.Sprintf("The archive at %s sends it there. Name another target, or put both blocks into one.", rangeOf(blocks[i].def)))
			return
		case t.URL.Scheme != "" && t.URL == o.URL && t.S3.Endpoint == o.S3.Endpoint && t.ArchiveDir == o.ArchiveDir:
			b.wrong("target", fmt.Sprintf("Targets %q and %q are one place", o.Name, t.Name),
				fmt.Sprintf("Both are %s, with the archive in %s: a second archive there is no second copy. Name another target.", t.URL, t.ArchiveDir))
			return
		}
	}
}

// archiving reads what holds for all archives of the cluster. Each argument may
// stand in any of the blocks, and in one only.
func (l *loader) archiving(blocks []*block, c *Cluster) {
	first := map[string]*block{}
	for _, b := range blocks {
		for _, name := range []string{"timeout", "workers", "spool_limit", "log"} {
			switch f := first[name]; {
			case !b.has(name):
			case f != nil:
				b.wrong(name, fmt.Sprintf("%q is set twice", name),
					fmt.Sprintf("It holds for all archives of cluster %q, and is set at %s already. Remove one of them.", c.Name, rangeOf(f.place(name))))
			default:
				first[name] = b
			}
		}
	}
	if b := first["timeout"]; b != nil {
		c.Archiving.Timeout = b.duration("timeout")
	}
	if b := first["workers"]; b != nil {
		c.Archiving.Workers = b.number("workers", 1, maxWorkers)
	}
	if b := first["spool_limit"]; b != nil {
		c.Archiving.SpoolLimit = l.size(b, "spool_limit", minSpoolLimit, "Restoring fetches whole segments ahead: ")
	}
	if b := first["log"]; b != nil {
		c.Archiving.Log = b.flag("log", false)
	}
}

// someRequired wants an archive that PostgreSQL waits for.
func (l *loader) someRequired(blocks []*block, c *Cluster) {
	for i, a := range c.Archives {
		if a.Required || blocks[i].bad["required"] {
			return
		}
	}
	if len(blocks) > 0 {
		blocks[0].wrong("required", fmt.Sprintf("No archive of cluster %q is required", c.Name),
			"PostgreSQL would throw WAL away before any target has it. Write required = true in one of them, or leave the argument out there.")
	}
}

// size reads a number of bytes, 0 when there is none. Why says what a smaller one than least means.
func (l *loader) size(b *block, name string, least int64, why string) int64 {
	s := b.text(name)
	if s == "" {
		return 0
	}
	n, err := ParseSize(s)
	switch {
	case err != nil:
		b.wrong(name, fmt.Sprintf("%q is not a size", name), capital(err.Error())+".")
		return 0
	case n < least:
		b.wrong(name, fmt.Sprintf("%q is too small", name), why+fmt.Sprintf("write %s or more.", sizeText(least)))
		return 0
	}
	return n
}

// sizeText writes a whole number of megabytes or gigabytes.
func sizeText(n int64) string {
	if n%(1<<30) == 0 {
		return fmt.Sprintf(`"%dGB"`, n>>30)
	}
	return fmt.Sprintf(`"%dMB"`, n>>20)
}
