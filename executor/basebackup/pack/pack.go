// Package pack copies the files of a data directory into the parts, the index and the manifest
// of a base backup. Package basebackup describes their form. The caller has told the server
// that a backup begins (pg_backup_start), or has made sure that it is stopped.
//
// The files are read by a few workers, which verify, sum and compress pieces of them; each of as
// many writers streams one part at a time to the store, and has the workers do the pieces of
// a few steps ahead. So one big file keeps all workers busy, and the memory does not
// depend on the size of the database.
package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

// Store takes the objects of a backup. A catalog is one. Create is called by several
// goroutines at once, each for an object of its own; when reading r fails, nothing must be left
// under the object's name.
type Store interface {
	Create(ctx context.Context, label, name string, r io.Reader) (catalog.Object, error)
	Compression() string
	PartName(number int) string
	IndexName() string
	ManifestName() string
}

// Previous is the backup that an incremental one builds on, together with its ancestors. It is
// asked by one goroutine at a time.
type Previous interface {
	// File gives the size of a file, in bytes, and the sums of all its blocks, as of that backup. ok
	// is false when it has no such file. The sums are only read, and may be reused by the next call.
	File(path string) (size int64, sums []byte, ok bool, err error)
}

// Summary is what the server's WAL summaries say of changes since the parent began
// (PostgreSQL manual, "WAL Summarization"). It may be asked by several goroutines at once.
type Summary interface {
	// Changed tells of a relation's file. known is false when nothing is known of it, and all of it
	// must be read. Otherwise only blocks of which blocks says true, and those from limit on, can
	// differ from the parent's. Blocks are those of the file, of 8192 bytes; no limit is math.MaxInt64.
	Changed(path string) (blocks func(block int64) bool, limit int64, known bool)
}

// Options say what is copied, and where to.
type Options struct {
	Store    Store
	Label    string
	Parent   string   // label of the backup that Previous is
	DataDir  string   // absolute
	Previous Previous // nil: a full backup
	Summary  Summary  // nil: all files are read

	Checksums     bool         // the cluster's pages have checksums, and are verified
	BlockSize     int          // bytes of a page; 0 is 8192
	SegmentBlocks int64        // pages in a segment of a relation; 0: as many as 1 GiB has
	StartLSN      postgres.LSN // where the backup begins: pages changed later aren't verified
	Cold          bool         // the server is stopped: all pages are verified, unlogged relations copied

	Workers     int               // that read and compress at the same time; 0: as many as there are processors, at most 4
	Rate        int64             // bytes read a second; 0 is no limit
	Tablespaces map[uint32]string // those known when the backup began, and their locations; nil: as pg_tblspc has them
	Manifest    manifest.Header

	Progress func(done, total int64) // bytes of the files; not called by two goroutines at once
	Notice   func(string)            // tells of what is left out; not called by two goroutines at once
}

// File is one that Finish adds.
type File struct {
	Path string      // in the data directory
	Data []byte      // content; nil: that of From
	From string      // file to read, an absolute path; "" is the one at Path
	Mode fs.FileMode // 0 is 0600
}

// Result is what a backup consists of.
type Result struct {
	Parts        []catalog.Object
	Index        catalog.Object
	Manifest     catalog.Object
	Size         int64 // bytes of all files
	Files        int64
	Stored       int64 // bytes of all objects, as stored
	Damaged      int64 // pages whose checksum is wrong
	DamagedPages []catalog.DamagedPage
}

// maxDamaged is how many damaged pages are listed.
const maxDamaged = 100

// Packer copies one data directory. Its methods are called one after the other: Files, Finish, and
// Abort when it is given up. To end one that is under way, end its context.
type Packer struct {
	o       Options
	ctx     context.Context
	cancel  context.CancelCauseFunc
	scan    *scan
	owner   owner
	control *memory // global/pg_control, once Files has read it
	workers []*worker
	free    chan []byte
	ahead   atomic.Int64 // tasks under way
	pace    pace
	total   int64
	began   time.Time

	previous sync.Mutex // held to ask Previous

	mu      sync.Mutex // guards what follows
	index   *indexStream
	list    *manifestStream
	parts   []catalog.Object // by number
	done    int64
	size    int64
	files   int64
	damaged int64
	pages   []catalog.DamagedPage
}

// New looks through the data directory. What appears there later is not copied: the WAL has it.
// Nothing is stored yet.
func New(ctx context.Context, o Options) (*Packer, error) {
	if o.Workers <= 0 {
		o.Workers = min(runtime.NumCPU(), 4)
	}
	if o.BlockSize == 0 {
		o.BlockSize = 8192
	}
	if o.BlockSize < 1024 || o.BlockSize > 32768 || o.BlockSize&(o.BlockSize-1) != 0 {
		return nil, fmt.Errorf("pages of %d bytes: PostgreSQL has 1024 to 32768", o.BlockSize)
	}
	if o.SegmentBlocks <= 0 {
		o.SegmentBlocks = 1 << 30 / int64(o.BlockSize)
	}
	if o.Cold {
		o.StartLSN = math.MaxUint64
	}
	p := &Packer{o: o, pace: pace{rate: o.Rate}, free: make(chan []byte, 4*o.Workers)}
	var err error
	if p.owner, err = ownerOf(o.DataDir); err != nil {
		return nil, err
	}
	if p.scan, err = look(ctx, &p.o, p.notice); err != nil {
		return nil, err
	}
	p.total, p.began = p.scan.bytes, time.Now()
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p, nil
}

func (p *Packer) notice(text string) {
	if p.o.Notice != nil {
		p.o.Notice(text)
	}
}

// Files copies all files. global/pg_control is read at the end, and stored by Finish: a
// standby's may only be read when all else is (PostgreSQL manual, "Making a Base Backup
// Using the Low Level API").
func (p *Packer) Files(ctx context.Context) (err error) {
	defer p.bind(ctx, &err)()
	if err := p.begin(); err != nil {
		return p.fail(err)
	}
	feed := &feed{units: p.scan.units(p.o.Previous != nil)}
	p.scan.files = nil
	if err := p.run(feed, p.o.Workers, partBytes); err != nil {
		return err
	}
	if p.control, err = readControl(p.ctx, p.o.DataDir); err != nil {
		return p.fail(err)
	}
	return nil
}

// begin starts the index and the manifest.
func (p *Packer) begin() error {
	if p.index != nil {
		return errors.New("the files were copied already")
	}
	var err error
	if p.index, err = p.newIndex(); err != nil {
		return err
	}
	if p.list, err = p.newManifest(); err != nil {
		return err
	}
	for i := range p.scan.dirs {
		if err := p.index.Write(&p.scan.dirs[i]); err != nil {
			return err
		}
	}
	for i := range p.scan.links {
		if err := p.index.Write(&p.scan.links[i]); err != nil {
			return err
		}
	}
	return nil
}

// Finish stores the extra files and global/pg_control, and ends the index and the manifest, for which
// ranges say what WAL the backup needs, the newest timeline first. Extra files below pg_wal come
// before the others.
func (p *Packer) Finish(ctx context.Context, extra []File, ranges []manifest.Range) (r *Result, err error) {
	defer p.bind(ctx, &err)()
	if p.control == nil {
		return nil, p.fail(errors.New("the files were not copied"))
	}
	read, kept := p.extra(extra)
	if len(read.units) > 0 {
		if err := p.run(read, p.o.Workers, partBytes); err != nil {
			return nil, err
		}
	}
	if err := p.run(kept, 1, math.MaxInt64); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r = &Result{Parts: p.parts, Size: p.size, Files: p.files, Damaged: p.damaged, DamagedPages: p.pages}
	slices.SortFunc(r.DamagedPages, byPlace)
	if r.Index, err = p.index.close(); err != nil {
		return nil, p.fail(err)
	}
	if r.Manifest, err = p.list.close(ranges); err != nil {
		return nil, p.fail(err)
	}
	if err := context.Cause(p.ctx); err != nil {
		return nil, err
	}
	p.cancel(errEnded)
	for _, o := range r.Parts {
		r.Stored += o.Size
	}
	r.Stored += r.Index.Size + r.Manifest.Size
	return r, nil
}

// extra sorts the files that Finish adds into those to read and those that are in the memory.
func (p *Packer) extra(files []File) (read, kept *feed) {
	read, kept = &feed{}, &feed{}
	var batch []item
	now := time.Now()
	for _, f := range files {
		if f.Mode == 0 {
			f.Mode = 0o600
		}
		it := item{name: f.Path}
		if f.Data == nil {
			from := f.From
			if from == "" {
				from = p.o.DataDir + "/" + f.Path
			}
			it.from = &source{path: from, mode: uint32(f.Mode.Perm())}
			read.units = append(read.units, unit{big: it})
			continue
		}
		it.memory = &memory{data: f.Data, mode: uint32(f.Mode.Perm()), modified: now}
		batch = append(batch, it)
	}
	batch = append(batch, item{name: controlFile, memory: p.control})
	kept.units = []unit{{batch: batch}}
	return read, kept
}

var (
	errEnded   = errors.New("the backup has ended")
	errAborted = errors.New("the backup was given up")
)

// Abort gives the backup up: what is half written is not stored. What was stored already is for
// the caller to remove. It does nothing after Finish has succeeded.
func (p *Packer) Abort() {
	p.cancel(errAborted)
	p.wait()
}

// wait waits until the streams have ended.
func (p *Packer) wait() {
	if p.index != nil {
		<-p.index.done
	}
	if p.list != nil {
		<-p.list.done
	}
}

// bind lets the end of ctx end the backup, until the function that it gives is called. That
// leaves nothing running after an error.
func (p *Packer) bind(ctx context.Context, err *error) func() {
	stop := context.AfterFunc(ctx, func() { p.cancel(context.Cause(ctx)) })
	return func() {
		stop()
		if *err != nil {
			p.cancel(*err)
			p.wait()
		}
	}
}

// fail ends everything because of err, and gives the error that was first.
func (p *Packer) fail(err error) error {
	p.cancel(err)
	return context.Cause(p.ctx)
}

func readControl(ctx context.Context, dataDir string) (*memory, error) {
	name := dataDir + "/" + controlFile
	for try := 0; ; try++ {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the control file: %w", err)
		}
		if wholeControl(data) {
			info, err := os.Stat(name)
			if err != nil {
				return nil, fmt.Errorf("reading the control file: %w", err)
			}
			return &memory{data: data, mode: uint32(info.Mode().Perm()), modified: info.ModTime()}, nil
		}
		if try == 20 {
			return nil, fmt.Errorf("%s is damaged: its checksum is wrong. A backup with it could not be started; see what pg_controldata says", name)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil { // the server is writing it
			return nil, err
		}
	}
}
