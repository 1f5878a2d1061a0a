package recovery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/restore"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
)

// Options say what a drill restores, and with what it checks it.
type Options struct {
	Catalog          *catalog.Catalog
	Label            string // "": the newest whole backup
	Cluster, Node    string
	SystemIdentifier string        // that the backup must have; "" is any
	Archives         []repo.Target // where the WAL is, in the order in which they are asked
	DataDir          string        // of the instance: the scratch directory is made beside it
	Scratch          string        // the directory in which it is made instead
	BinDir           string        // of PostgreSQL's programs
	User             string        // superuser of the database
	Major            int           // of the programs
	Preload          []string      // shared_preload_libraries of the source, besides what its files say
	StateDir         string        // ours, with the keys to log in to targets with
	Hook             string        // what runs our commands for PostgreSQL, as a shell has it; "" is this program's own
	Workers          int           // 0: as many as there are processors, at most 4
	Latest           bool          // recover to the end of the WAL, not only until the backup is consistent
	Deep             bool          // compare indexes with tables too: pg_amcheck --heapallindexed --parent-check
	Keep             bool          // leave the scratch directory there
	ToolVersion      string

	Now      func() time.Time
	Progress func(done, total int64) // bytes of the files that are restored
	Notice   func(string)
}

// Result says what a drill found.
type Result struct {
	Label    string
	Proven   time.Time // when the proof was recorded; zero when there are problems
	Checked  []string  // what was done
	Problems []string
	Scratch  string // what was kept
	Elapsed  time.Duration
}

// Drill restores a backup to a scratch directory, lets PostgreSQL recover and open it, and
// checks all of it. When nothing is wrong the catalogue gets a proof. A backup with which
// something is wrong is a result with problems; an error says that the drill could not be
// done. The scratch directory and its server are gone in either case, unless they are kept;
// after a kill -9 the next drill at the same place clears them away.
func Drill(ctx context.Context, o Options) (res *Result, err error) {
	o.fill()
	begun := o.Now()
	info, err := o.choose(ctx)
	if err != nil {
		return nil, err
	}
	s, err := o.enter(ctx)
	if err != nil {
		return nil, err
	}
	d := &drill{Options: o, info: info, scratch: s, res: &Result{Label: info.Label}}
	defer func() {
		if cerr := d.leave(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("clear %s away: %w", s.dir, cerr))
		}
	}()
	if err := d.space(); err != nil {
		return nil, err
	}
	if err := d.run(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("drill of backup %s: %w", info.Label, err)
	}
	if d.res.Elapsed = o.Now().Sub(begun); len(d.res.Problems) > 0 {
		return d.res, nil
	}
	proof := catalog.Proof{Time: o.Now().UTC(), Duration: d.res.Elapsed, Checked: d.res.Checked, Node: o.Node, ToolVersion: o.ToolVersion}
	if err := o.Catalog.Prove(ctx, info.Label, proof); err != nil {
		return nil, err
	}
	d.res.Proven = proof.Time
	return d.res, nil
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
}

// choose finds the backup, and makes sure that the programs can start it.
func (o *Options) choose(ctx context.Context) (*catalog.Info, error) {
	entries, err := o.Catalog.List(ctx)
	if err != nil {
		return nil, err
	}
	var found *catalog.Entry
	for i := range entries {
		e := &entries[i]
		switch {
		case o.Label != "" && e.Label != o.Label:
		case o.Label == "" && (e.Broken != "" || o.SystemIdentifier != "" && e.SystemIdentifier != o.SystemIdentifier):
		case o.Label == "" && found != nil && found.Damaged == 0 && e.Damaged > 0:
		default:
			found = e // they are sorted by time
		}
	}
	switch {
	case found == nil && o.Label != "":
		return nil, fmt.Errorf("there is no backup %s", o.Label)
	case found == nil:
		return nil, errors.New("there is no whole backup to restore")
	case found.Broken != "":
		return nil, fmt.Errorf("the backup %s cannot be restored (%s)", found.Label, found.Broken)
	case o.SystemIdentifier != "" && found.SystemIdentifier != o.SystemIdentifier:
		return nil, fmt.Errorf("the backup %s is of the cluster with system identifier %s, not of %s", found.Label, found.SystemIdentifier, o.SystemIdentifier)
	}
	f := found.Fact()
	if m := f.Major(); m != o.Major {
		return nil, fmt.Errorf("the backup %s is of PostgreSQL %d, and the programs in %s are of %d: let a node that has those of %d do the drill", found.Label, m, o.BinDir, o.Major, m)
	}
	if found.WAL == catalog.WALArchived && len(o.Archives) == 0 {
		return nil, fmt.Errorf("the backup %s needs WAL of an archive, and none is named", found.Label)
	}
	return &found.Info, nil
}

// drill is one under way.
type drill struct {
	Options
	info    *catalog.Info
	scratch *scratch
	server  *server // nil while none runs
	res     *Result
}

// reserve is what a drill needs beside the files, in bytes: WAL of its own, logs, caches.
const reserve = 256 << 20

// space refuses a drill that does not fit, before anything is read from the target.
func (d *drill) space() error {
	need := uint64(d.info.Size) + uint64(d.info.Size)/20 + reserve
	if d.info.StopLSN > d.info.StartLSN {
		need += uint64(d.info.StopLSN-d.info.StartLSN) * 2 // WAL as fetched, and again
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.scratch.dir, &st); err != nil {
		return fmt.Errorf("how much space is there: %s: %w", d.scratch.dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < need {
		return fmt.Errorf("the file system of %s has %d MiB free, and a drill of backup %s needs about %d MiB: make room, or name another directory", d.scratch.dir, free>>20, d.info.Label, need>>20)
	}
	return nil
}

// run restores, starts and checks. What is wrong with the backup goes to the result.
func (d *drill) run(ctx context.Context) error {
	if d.info.Damaged > 0 {
		d.problem("%d pages were damaged on the node already, when the backup was taken", d.info.Damaged)
	}
	spaces := map[string]string{}
	for _, t := range d.info.Tablespaces {
		oid := strconv.FormatUint(uint64(t.OID), 10)
		spaces[oid] = filepath.Join(d.scratch.dir, spacesDir, oid)
	}
	_, err := restore.Restore(ctx, restore.Options{
		Catalog: d.Catalog, Label: d.info.Label, DataDir: d.scratch.data(), Tablespaces: spaces, Workers: d.Workers,
		SystemIdentifier: d.SystemIdentifier, TempDir: d.scratch.dir, Progress: d.Progress, Notice: d.Notice,
	})
	var damage *chain.DamageError
	if errors.As(err, &damage) && ctx.Err() == nil {
		d.problem("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	d.res.Checked = append(d.res.Checked, "restore")
	control, err := d.configure(ctx)
	if err != nil {
		return err
	}
	err = d.start(ctx)
	var failed *startError
	if errors.As(err, &failed) && failed.files() {
		d.problem("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	if d.Latest {
		d.res.Checked = append(d.res.Checked, "recovery to the end of the WAL")
	} else {
		d.res.Checked = append(d.res.Checked, "recovery")
	}
	if err := d.check(ctx); err != nil {
		return err
	}
	if err := d.server.stop(ctx); err != nil {
		return err
	}
	d.server = nil
	if control.ChecksumVersion == 0 {
		return nil
	}
	return d.checksums(ctx)
}

// maxProblems bounds what is told of a backup.
const maxProblems = 100

func (d *drill) problem(format string, args ...any) {
	switch n := len(d.res.Problems); {
	case n < maxProblems:
		d.res.Problems = append(d.res.Problems, fmt.Sprintf(format, args...))
	case n == maxProblems:
		d.res.Problems = append(d.res.Problems, "and more")
	}
}

// leave ends the server, and clears away or keeps.
func (d *drill) leave() error {
	if d.server != nil {
		if err := d.server.kill(); err != nil {
			return errors.Join(err, d.scratch.close())
		}
	}
	if d.Keep {
		d.res.Scratch = d.scratch.dir
		d.Notice(fmt.Sprintf("%s is kept; the next drill there clears it away", d.scratch.dir))
		return d.scratch.close()
	}
	return d.scratch.clear()
}
