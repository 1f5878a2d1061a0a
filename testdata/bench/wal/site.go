package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"pg_manage/testdata/lab"
)

// Paths on the hosts. benchDir is a directory of this machine's disk on both.
const (
	benchDir = "/bench"
	dataDir  = benchDir + "/data"
	pgBin    = "/usr/lib/postgresql/17/bin"
)

// site is all that the measurements work with.
type site struct {
	options
	lab       *lab.Lab
	down      func() error
	dir       string // on this machine: db and vault lie in it
	db, vault *host
	caller    *caller
	form      int // version of the form of hook.json that the hook reads
	report    report

	server   *server // nil when PostgreSQL doesn't run
	backlog  []segment
	facts    string          // what the database holds at the end of the backlog
	archived map[string]bool // contenders whose archive holds the backlog
}

// path is where something of the host "db" lies on this machine.
func (s *site) path(name string) string {
	return filepath.Join(s.dir, "db", strings.TrimPrefix(name, benchDir))
}

func (s *site) vaultPath(name string) string {
	return filepath.Join(s.dir, "vault", strings.TrimPrefix(name, benchDir))
}

func openSite(ctx context.Context, o options) (_ *site, err error) {
	if err := checkDisk(o); err != nil {
		return nil, err
	}
	l, err := lab.Make()
	if err != nil {
		return nil, err
	}
	s := &site{options: o, lab: l, down: sync.OnceValue(l.Down), archived: map[string]bool{}}
	// When interrupted the hosts go at once, and what waits for them ends with an error.
	context.AfterFunc(ctx, func() { _ = s.down() })
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp(o.dir, "pg_manage-wal-"); err != nil {
		return nil, err
	}
	if err := l.Add(ctx, lab.NodeSpec{Name: "db"}, lab.NodeSpec{Name: "vault", Backup: true}); err != nil {
		return nil, err
	}
	if err := l.Trust("db", "postgres", "vault", "backup"); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return nil, err
	}
	for name, user := range map[string]string{"db": "postgres", "vault": "backup"} {
		h, err := s.mountDisk(name, user)
		if err != nil {
			return nil, err
		}
		if name == "db" {
			s.db = h
		} else {
			s.vault = h
		}
	}
	if err := s.build(); err != nil {
		return nil, err
	}
	if err := s.installPgBackRest(ctx); err != nil {
		return nil, err
	}
	if s.caller, err = s.newCaller(); err != nil {
		return nil, err
	}
	return s, nil
}

// checkDisk refuses file systems that would make all figures worthless.
func checkDisk(o options) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(o.dir, &st); err != nil {
		return fmt.Errorf("%s: %w", o.dir, err)
	}
	const tmpfs, overlay = 0x01021994, 0x794c7630
	if st.Type == tmpfs || st.Type == overlay {
		return fmt.Errorf("%s is a tmpfs or an overlay: give a directory on a real disk with -dir", o.dir)
	}
	free, want := int64(st.Bavail)*st.Bsize, 6*int64(o.segments)<<24
	if free < want {
		return fmt.Errorf("%s has %d MB free, and %d are needed: give another directory with -dir, or fewer -segments", o.dir, free>>20, want>>20)
	}
	return nil
}

// mountDisk gives a host a directory of this machine's disk at benchDir.
func (s *site) mountDisk(name, user string) (*host, error) {
	h, err := newHost(s.lab.Node(name))
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := h.Exec("mkdir", benchDir); err != nil {
		return nil, err
	}
	if err := mountInto(h.init, dir, benchDir); err != nil {
		return nil, err
	}
	_, err = h.Exec("chown", user+":", benchDir)
	return h, err
}

// build makes pg_manage and this program for the host.
func (s *site) build() error {
	bin := filepath.Join(s.dir, "db", "bin") + "/"
	cmd := exec.Command("go", "build", "-o", bin, "pg_manage/cmd/pg_manage", "pg_manage/cmd/pg_manage-hook", "pg_manage/testdata/bench/wal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	out, err := s.db.Exec(hookProgram, "version")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(out, "pg_manage-hook, configuration version %d", &s.form); err != nil {
		return fmt.Errorf("%s version said %q: %w", hookProgram, out, err)
	}
	return nil
}

// installPgBackRest installs Debian's packages of it. They come over this machine's
// network, for the hosts have none, and stay in the lab's cache.
func (s *site) installPgBackRest(ctx context.Context) error {
	cache, err := lab.CacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "debs-"+s.db.Suite)
	debs := s.path(benchDir + "/debs")
	if _, err := os.Stat(cache); err != nil {
		download := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(s.db.init), "-m", "-u", "-i", "-p", "-r", "-w", "--", "sh", "-euc",
			"apt-get clean; apt-get -q update; apt-get -q install -y --no-install-recommends --download-only pgbackrest; mkdir /bench/debs; mv /var/cache/apt/archives/*.deb /bench/debs")
		if out, err := download.CombinedOutput(); err != nil {
			return fmt.Errorf("download of pgbackrest: %w\n%s", err, out)
		}
		if err := onHost("cp", "-r", debs, cache); err != nil {
			return err
		}
	} else if err := onHost("cp", "-r", cache, debs); err != nil {
		return err
	}
	if err := onHost("cp", "-r", debs, s.vaultPath(benchDir)); err != nil {
		return err
	}
	for _, h := range []*host{s.db, s.vault} {
		if _, err := h.Exec("sh", "-euc", "DEBIAN_FRONTEND=noninteractive dpkg -i /bench/debs/*.deb; rm -r /bench/debs"); err != nil {
			return err
		}
	}
	return nil
}

// onHost runs a command on this machine.
func onHost(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func postgresUser(args []string) []string {
	return append([]string{"runuser", "-u", "postgres", "--", "env", "HOME=/var/lib/postgresql", "USER=postgres", "LOGNAME=postgres"}, args...)
}

// asPostgres prepares a command on the host "db" as PostgreSQL's user.
func (s *site) asPostgres(args ...string) *exec.Cmd { return s.db.Command(postgresUser(args)...) }

// run runs a command on the host "db" as PostgreSQL's user.
func (s *site) run(args ...string) (string, error) { return s.db.Exec(postgresUser(args)...) }

// quiet ends what a measurement left running.
func (s *site) quiet() error {
	return errors.Join(s.stop(), s.db.endAll(archiverWord), s.db.waitGone("pgbackrest", time.Minute))
}

// versions says what was compared, and where.
func (s *site) versions() string {
	var out []string
	for _, command := range [][]string{{pgBin + "/postgres", "--version"}, {"pgbackrest", "version"}, {benchDir + "/bin/pg_manage", "version"}, {hookProgram, "version"}, {"uname", "-srm"}} {
		said, err := s.run(command...)
		if err != nil {
			said = err.Error()
		}
		out = append(out, strings.Join(strings.Fields(said), " "))
	}
	fs, _ := exec.Command("findmnt", "-n", "-o", "FSTYPE", "-T", s.dir).Output()
	out = append(out, fmt.Sprintf("%d processors, %s on %s; backlog of %d segments, %d runs",
		runtime.NumCPU(), strings.TrimSpace(string(fs)), s.options.dir, len(s.backlog), s.runs))
	return strings.Join(out, "; ")
}

func (s *site) close() error {
	err := s.down()
	if s.dir == "" {
		return err
	}
	if s.keep {
		fmt.Printf("kept: %s\n", s.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// explain adds the end of PostgreSQL's log to an error.
func (s *site) explain(err error) error {
	if err == nil {
		return nil
	}
	data, _ := os.ReadFile(s.serverLog())
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Errorf("%w\nthe end of PostgreSQL's log:\n%s", err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}
