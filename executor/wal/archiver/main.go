package archiver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/call"
	"pg_manage/schema/postgres"
)

// Defaults.
const (
	defaultIdle    = time.Minute
	lockTime       = time.Second      // a predecessor lets go of the socket at once
	finishTime     = 30 * time.Second // for what is under way at the end
	localWorkers   = 4
	distantWorkers = 8        // a line's delay is waited for, not worked
	memoryLimit    = 72 << 20 // soft, in bytes: when Go's collector begins to work harder
	maxLog         = 1 << 20
)

// Main runs the archiver of one instance: --config FILE, and --idle TIME after which it
// ends. It writes "ready" to standard output and closes it once calls can come, also when
// another archiver of the instance answers them. It looks after signals itself.
func Main(args []string) int {
	fs := flag.NewFlagSet("archiver", flag.ContinueOnError)
	fs.SetOutput(os.Stderr)
	file := fs.String("config", "", "`FILE` hook.json")
	idle := fs.Duration("idle", defaultIdle, "`TIME` without a call after which it ends")
	if fs.Parse(args) != nil || *file == "" || fs.NArg() != 0 {
		fmt.Fprintln(os.Stderr, "usage: pg_manage hook --config FILE archiver [--idle TIME]") //nolint:errcheck // as good as it gets
		return wal.ExitUsage
	}
	if err := run(*file, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "pg_manage archiver:", err) //nolint:errcheck // as above
		return wal.ExitFailed
	}
	return wal.ExitOK
}

func run(file string, idle time.Duration) error {
	c, err := wal.LoadConfig(file)
	if err != nil {
		return err
	}
	if err := c.CheckUser(); err != nil {
		return err
	}
	fresh, err := freshness(c.File())
	if err != nil {
		return err
	}
	log, err := openLog(filepath.Join(filepath.Dir(c.File()), "archiver.log"))
	if err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			log.Error("this is an error in pg_manage", "panic", r, "stack", string(debug.Stack()))
			panic(r)
		}
	}()
	lock := flock.New(c.File()+".lock", flock.SetPermissions(0o600))
	mine, err := own(lock, c.File())
	if err != nil {
		log.Error("the archiver does not start", "error", err)
		return err
	}
	if !mine {
		return ready()
	}
	debug.SetMemoryLimit(memoryLimit)
	l, err := listen(c.File())
	if err != nil {
		log.Error("the archiver does not start", "error", err)
		return errors.Join(err, lock.Close())
	}
	a, err := newArchiver(c, fresh, log)
	if err != nil {
		return errors.Join(err, l.Close(), lock.Close())
	}
	if err := ready(); err != nil {
		return errors.Join(err, l.Close(), lock.Close())
	}
	log.Info("started", "pid", os.Getpid(), "cluster", c.Cluster, "node", c.Node, "targets", len(c.Targets))
	a.server.all.Go(func() { a.server.serve(l.UnixListener) })
	why := a.wait(l, idle)
	a.server.stop()
	// The socket first, and then the lock: who holds the lock owns the name.
	err = errors.Join(l.remove(), l.Close(), lock.Close())
	log.Info("ending", "why", why)
	a.finish()
	log.Info("ended")
	return err
}

// own takes the lock of the instance's archiver. mine is false when another one runs
// and answers. One that is ending lets go soon.
func own(lock *flock.Flock, config string) (mine bool, err error) {
	for end := time.Now().Add(lockTime); ; time.Sleep(20 * time.Millisecond) {
		if mine, err = lock.TryLock(); mine || err != nil {
			return mine, err
		}
		if _, ok := call.Query(config, "status"); ok {
			return false, nil
		}
		if time.Now().After(end) {
			return false, fmt.Errorf("another archiver holds %s and does not answer", lock.Path())
		}
	}
}

// listen makes the socket; one that is there belongs to an archiver that died.
func listen(config string) (*listener, error) {
	name := call.SocketName(config)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(name)) // its path may be too long for a socket's address
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // read only
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	short := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the socket %s: %w", name, err)
	}
	l.SetUnlinkOnClose(false)
	st, err := stateOf(name)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &listener{l, name, st}, nil
}

// listener is the socket that calls come through.
type listener struct {
	*net.UnixListener
	name  string
	state fileState
}

// here says whether the socket still has its name: without it nobody calls, and who
// has it instead is our successor.
func (l *listener) here() bool {
	st, err := stateOf(l.name)
	return err == nil && st.dev == l.state.dev && st.ino == l.state.ino
}

func (l *listener) remove() error {
	if !l.here() {
		return nil
	}
	return os.Remove(l.name)
}

// ready tells who started us that calls can come, and lets go of the standard streams.
func ready() error {
	_, err := os.Stdout.WriteString("ready\n")
	null, oerr := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if oerr != nil {
		return errors.Join(err, oerr)
	}
	defer null.Close() //nolint:errcheck // /dev/null
	return errors.Join(err, syscall.Dup3(int(null.Fd()), 1, 0))
}

// openLog opens the archiver's log, and lets a crash of the program be told there too.
func openLog(name string) (*slog.Logger, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if st, err := os.Stat(name); err == nil && st.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return slog.New(slog.NewTextHandler(f, nil)), nil
}

// freshness gives a function that says whether a configuration file and the running
// program are still the files that they are now.
func freshness(config string) (func() bool, error) {
	files := []string{config}
	if exe, err := os.Executable(); err == nil {
		files = append(files, exe)
	}
	were := map[string]fileState{}
	for _, f := range files {
		st, err := stateOf(f)
		if err != nil {
			return nil, err
		}
		were[f] = st
	}
	return func() bool {
		for f, was := range were {
			if st, err := stateOf(f); err != nil || st != was {
				return false
			}
		}
		return true
	}, nil
}

// archiver is all that runs in the process.
type archiver struct {
	in      *wal.Instance
	server  *server
	push    *pusher
	fetch   *fetcher
	drains  sync.WaitGroup
	queued  context.CancelFunc
	signals chan os.Signal
	cancel  context.CancelCauseFunc
}

func newArchiver(c *wal.Config, fresh func() bool, log *slog.Logger) (*archiver, error) {
	in, err := wal.NewInstance(c, func(ctx context.Context, t repo.Target) (storage.Driver, error) { return c.OpenTarget(ctx, t, false) }, true)
	if err != nil {
		return nil, err
	}
	a := &archiver{in: in, signals: make(chan os.Signal, 1)}
	rec := &record{now: time.Now}
	told := func(name string, size int64, err error) {
		if rec.stored(name, size, err); err != nil {
			log.Error("archiving failed", "file", name, "error", err)
		}
	}
	store := func(ctx context.Context, path string) error { return in.Archive(ctx, c.DataDir, path) }
	a.push = newPusher(store, c.Ready, filepath.Join(c.DataDir, "pg_wal"), workers(c), told)
	limit := c.SpoolLimit
	if limit == 0 {
		limit = wal.DefaultSpoolLimit
	}
	a.fetch = newFetcher(in.Fetch, filepath.Join(c.Spool(), strconv.Itoa(os.Getpid())), limit, workers(c))
	a.fetch.fits = in.Fits
	if err := a.fetch.prepare(); err != nil {
		log.Error("nothing is fetched ahead", "error", err)
		a.fetch.off = err
	}
	if former := c.FormerSpool(); former != "" {
		if err := os.RemoveAll(former); err != nil { // a link is removed, and not followed
			log.Error("the spool of an earlier version stays", "error", err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	a.cancel = cancel
	a.server = &server{config: c, engine: &engine{in, a.push, a.fetch}, record: rec, fresh: fresh, log: log, last: time.Now(), ctx: ctx}
	queues, stop := context.WithCancel(ctx)
	a.queued = stop
	for _, t := range c.Targets {
		if more := in.Queued(t.Name); more != nil {
			a.drains.Go(func() {
				drain := func(ctx context.Context) error { _, err := in.Drain(ctx, t.Name); return err }
				drainQueue(queues, drain, more, func(err error) {
					if rec.queue(t.Name, err); err != nil {
						log.Error("the queue does not empty", "target", t.Name, "error", err)
					}
				})
			})
		}
	}
	return a, nil
}

// workers is how many files are under way at once.
func workers(c *wal.Config) int {
	if c.Workers > 0 {
		return c.Workers
	}
	for _, t := range c.Targets {
		if t.Scheme == "ssh" || t.Scheme == "s3" {
			return distantWorkers
		}
	}
	return localWorkers
}

// wait returns when the archiver is to end, and why.
func (a *archiver) wait(l *listener, idle time.Duration) string {
	signal.Notify(a.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	t := time.NewTicker(min(idle, time.Second))
	defer t.Stop()
	for {
		select {
		case sig := <-a.signals:
			a.server.stop()
			a.cancel(fmt.Errorf("ended by %v", sig))
			return sig.String()
		case <-t.C:
		}
		if !l.here() {
			return "its socket was removed"
		}
		quiet, ended := a.server.idle()
		switch {
		case ended || !a.server.fresh():
			return "its configuration or program was changed"
		case quiet > idle && !a.push.busy() && !a.in.Waiting():
			return "nothing was asked for"
		}
	}
}

// finish lets what is under way come to its end, for a while. A second signal ends it.
func (a *archiver) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	over := make(chan struct{})
	go func() {
		a.queued()
		a.fetch.close()
		a.push.drain(ctx)
		a.server.all.Wait()
		a.drains.Wait()
		a.in.Close() //nolint:errcheck // all that matters has been checked by then
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	case <-a.signals:
	}
}

// engine is what serves the calls.
type engine struct {
	in    *wal.Instance
	push  *pusher
	fetch *fetcher
}

// Archive stores a file; see wal.Engine.
func (e *engine) Archive(ctx context.Context, dir, path string) error {
	if _, err := postgres.ClassifyWALName(filepath.Base(path)); err != nil {
		return &wal.RefusedError{Err: err}
	}
	path, err := e.in.Config.InstancePath(dir, path)
	if err != nil {
		return err
	}
	return e.push.push(ctx, path)
}

// Restore fetches a file; see wal.Engine.
func (e *engine) Restore(ctx context.Context, dir, name, path string, o wal.RestoreOptions) error {
	return e.in.RestoreFrom(ctx, dir, name, path, o, e.fetch.get)
}
