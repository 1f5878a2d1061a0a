// Package restore puts the files of a base backup, and of those that it builds upon, into a
// data directory: a new one, or as a delta over an old one of the same cluster.
//
// A restore that ends early, however it does, leaves a directory that PostgreSQL refuses to
// start: global/pg_control gets its name last. A marker file says whose directory it is; the
// next restore goes on from what is there.
package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/repo/catalog"
)

// Options say what is restored, and where to.
type Options struct {
	Catalog          *catalog.Catalog
	Label            string
	DataDir          string            // absolute
	Delta            bool              // over a stopped data directory of the same cluster: only what differs is fetched
	KeepFiles        []string          // paths in the data directory that a delta leaves as they are, with all below them
	Tablespaces      map[string]string // oid -> absolute directory, instead of where it was
	WALDir           string            // absolute; pg_wal becomes a link to it. "": a directory, or with Delta what it is
	Workers          int               // 0: as many as there are processors, at most 4
	SystemIdentifier string            // that the backup must have; "" is any
	TempDir          string            // for what must be remembered of the backup's indexes; "" is the system's

	Progress func(done, total int64) // bytes of the files; may be nil. Called from several goroutines
	Notice   func(string)            // what a person ought to know; may be nil. Called from several goroutines
	// Ready is called when all files are durable, and PostgreSQL does not start on the directory
	// yet: what it must not be started without is to be durable when it returns. May be nil.
	Ready func(dataDir string) error
}

// Report says what was done.
type Report struct {
	Label   string   `json:"label"`
	Chain   []string `json:"chain"` // labels that it was put together from, oldest first
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`             // of all files
	Fetched int64    `json:"fetched"`           // bytes read from the target, of parts
	Written int64    `json:"written"`           // bytes of files that were written
	Removed int64    `json:"removed,omitempty"` // files that the backup does not have
	Resumed bool     `json:"resumed,omitempty"` // went on from an interrupted restore
	// OldWAL is the directory that WAL was moved to which was not marked as archived; "": there was none.
	OldWAL  string        `json:"old_wal,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// restoring is a restore under way.
type restoring struct {
	Options
	chain  *chain.Chain
	info   *catalog.Info
	layout *layout
	spool  *os.File // backup_manifest
	delta  bool     // what is there is compared: asked for, or an interrupted restore goes on
	old    *marker  // of the interrupted restore; nil: there is none
	keep   keepList
	report Report
}

// Restore puts a backup's files into their places. Nothing is written there before all that
// can be checked has been. What is damaged at the target gives a *chain.DamageError.
func Restore(ctx context.Context, o Options) (report *Report, err error) {
	begun := time.Now()
	if o.Workers <= 0 {
		o.Workers = min(runtime.NumCPU(), 4)
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	r := &restoring{Options: o}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if err := r.fill(ctx); err != nil {
		return nil, fmt.Errorf("%w (%s cannot be started as it is; restoring again goes on from there)", err, r.DataDir)
	}
	if err := r.finish(ctx); err != nil {
		return nil, fmt.Errorf("%w (%s cannot be started as it is; restoring again goes on from there)", err, r.DataDir)
	}
	r.report.Elapsed = time.Since(begun)
	return &r.report, nil
}

// prepare reads and checks everything, and writes nothing.
func (r *restoring) prepare(ctx context.Context) error {
	infos, err := r.Catalog.Chain(ctx, r.Label) // looks too whether all objects are there, and their sizes
	if err != nil {
		return err // it names the backup, and of a chain the one that is broken
	}
	for _, info := range infos {
		if r.SystemIdentifier != "" && info.SystemIdentifier != r.SystemIdentifier {
			return fmt.Errorf("backup %s is of the cluster with system identifier %s, not of %s", info.Label, info.SystemIdentifier, r.SystemIdentifier)
		}
		r.report.Chain = append(r.report.Chain, info.Label)
	}
	if r.chain, err = chain.Open(ctx, r.Catalog, infos, r.TempDir); err != nil {
		return err
	}
	r.info, r.report.Label = r.chain.Newest(), r.Label
	if err := r.checkContent(); err != nil {
		return err
	}
	if r.spool, err = r.fetchManifest(ctx); err != nil {
		return err
	}
	if r.layout, err = newLayout(r.chain, r.Options); err != nil {
		return err
	}
	if err := r.checkTarget(ctx); err != nil {
		return err
	}
	return r.checkSpace(ctx)
}

// Names in a data directory that a restore makes itself, or that must not be in a backup.
const (
	controlFile  = "global/pg_control"
	controlTemp  = "global/pg_control.pg_manage-new"
	controlOld   = "global/pg_control.pg_manage-old"
	manifestName = "backup_manifest"
	mapName      = "tablespace_map"
	versionFile  = "PG_VERSION"
	pidFile      = "postmaster.pid"
	walDir       = "pg_wal"
	restoredName = "pg_manage.restored" // says of an earlier restore that its recovery has not ended: it does not hold for what comes
)

// checkContent makes sure that a data directory is what the backup has.
func (r *restoring) checkContent() error {
	bad := func(format string, args ...any) error {
		return &chain.DamageError{Backup: r.info.Label, Object: r.info.Index.Name, Err: fmt.Errorf(format, args...)}
	}
	for _, name := range []string{controlFile, versionFile} {
		if !r.chain.Has(name) {
			return bad("it has no %s", name)
		}
	}
	for _, name := range []string{manifestName, markerName, pidFile, controlTemp, controlOld} {
		if r.chain.Has(name) {
			return bad("it has %s, which no data directory's backup has", name)
		}
	}
	for _, l := range r.chain.Links() {
		if _, ok := chain.TablespaceOID(l.Path); !ok && l.Path != walDir {
			return bad("it has the link %s: only tablespaces and pg_wal may be links", l.Path)
		}
	}
	// A tablespace's directory may be anywhere. What is put there is PostgreSQL's alone.
	for name := range r.chain.Sizes() {
		if err := r.checkSpacePath(name); err != nil {
			return bad("%w", err)
		}
	}
	for _, d := range r.chain.Dirs() {
		if err := r.checkSpacePath(d.Path); err != nil {
			return bad("%w", err)
		}
	}
	control, _, err := r.chain.File(controlFile)
	if err != nil {
		return err
	}
	if control.Size < controlSize || control.Size > 1<<20 {
		return bad("%s has %d bytes", controlFile, control.Size)
	}
	return nil
}

// versionDir is how the directory of one server version in a tablespace is called.
var versionDir = regexp.MustCompile(`^PG_[0-9]+_[0-9]+$`)

// checkSpacePath refuses paths of a tablespace that no server makes.
func (r *restoring) checkSpacePath(name string) error {
	rest, ok := strings.CutPrefix(name, "pg_tblspc/")
	if !ok {
		return nil
	}
	if oid, rest := cutPath(rest); rest != "" {
		if top, _ := cutPath(rest); !versionDir.MatchString(top) {
			return fmt.Errorf("%s lies in tablespace %s, where PostgreSQL puts no such thing", name, oid)
		}
	}
	return nil
}

func (r *restoring) close() error {
	var all error
	if r.chain != nil {
		all = errors.Join(all, r.chain.Close())
	}
	if r.spool != nil {
		all = errors.Join(all, r.spool.Close())
	}
	if r.layout != nil {
		all = errors.Join(all, r.layout.close())
	}
	return all
}
