package wal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"pg_manage/executor/repo"
	"pg_manage/schema/postgres"
)

// ConfigVersion is the version of the form of hook.json that this package reads.
const ConfigVersion = 2

// Config is hook.json: which instance it is for, and where its WAL goes. It lies
// outside the data directory, so that a copy of the data doesn't take it along.
type Config struct {
	Version    int           `json:"version"`
	Cluster    string        `json:"cluster"`
	Node       string        `json:"node"`
	DataDir    string        `json:"data_dir"`
	Targets    []repo.Target `json:"targets"` // in the order in which restore asks them
	LogDir     string        `json:"log_dir,omitempty"`
	SpoolDir   string        `json:"spool_dir,omitempty"`         // of restore's prefetching; "" is beside the configuration
	SpoolLimit int64         `json:"spool_limit,omitempty"`       // bytes that lie there at most; 0 is DefaultSpoolLimit
	Workers    int           `json:"workers,omitempty"`           // files under way at once; 0 leaves it to the tool
	Elsewhere  []string      `json:"backups_elsewhere,omitempty"` // targets with base backups beside Targets
	ReadOnly   bool          `json:"read_only,omitempty"`         // nothing may be archived: it is for a copy of an instance

	file string // where it was read from
}

// DefaultSpoolLimit is how much restore fetches ahead, in bytes.
const DefaultSpoolLimit = 256 << 20

// RefusedError is a guard that stands in the way: the configuration, the archive or
// the file isn't what it must be. Trying again doesn't help.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Errorf(format, args...)} }

// LoadConfig reads and checks hook.json. A file that others may write, or that neither
// this user nor root owns, is refused: it decides where all data goes.
func LoadConfig(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, refuse("the hook's configuration cannot be read: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return nil, refuse("%s: %w", file, err)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && sys.Uid != 0 && st.Mode().Perm()&0o022 == 0 {
		who := userName(sys.Uid)
		return nil, refuse("%s is for the user %s, and root is to do nothing in his place: write sudo -u %s before the command", file, who, who)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || !st.Mode().IsRegular() || st.Mode().Perm()&0o022 != 0 ||
		(sys.Uid != 0 && int(sys.Uid) != os.Geteuid()) {
		return nil, refuse("%s must be a file that belongs to the user of the instance or root and that nobody else may write (mode 0600); it is %s", file, st.Mode())
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, refuse("%s: %w", file, err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, refuse("%s: %w", file, err)
	}
	if c.file, err = filepath.Abs(file); err != nil {
		return nil, refuse("%s: %w", file, err)
	}
	if err := c.check(); err != nil {
		return nil, refuse("%s: %w", file, err)
	}
	return &c, nil
}

func (c *Config) check() error {
	switch {
	case c.Version != ConfigVersion:
		return fmt.Errorf("it has version %d, and this program reads version %d: run pg_manage apply", c.Version, ConfigVersion)
	case !filepath.IsAbs(c.DataDir):
		return fmt.Errorf("data_dir %q is not an absolute path", c.DataDir)
	case c.Cluster == "" || strings.ContainsAny(c.Cluster, "/\x00\n") || c.Cluster == "." || c.Cluster == "..":
		return fmt.Errorf("cluster %q is no name for a directory", c.Cluster)
	case strings.ContainsAny(c.Node, "/\x00\n"):
		return fmt.Errorf("node %q is no name for a directory", c.Node)
	case c.Workers < 0 || c.Workers > maxWorkers:
		return fmt.Errorf("workers is %d, and must be from 1 to %d", c.Workers, maxWorkers)
	case c.SpoolLimit < 0:
		return fmt.Errorf("spool_limit %d is no number of bytes", c.SpoolLimit)
	case c.SpoolDir != "" && !filepath.IsAbs(c.SpoolDir):
		return fmt.Errorf("spool_dir %q is not an absolute path", c.SpoolDir)
	}
	if err := c.checkTargets(); err != nil {
		return err
	}
	data, err := filepath.EvalSymlinks(c.DataDir)
	if err != nil {
		return nil // the instance isn't there yet; the commands that need it say so
	}
	own, err := filepath.EvalSymlinks(c.file)
	if err == nil && strings.HasPrefix(own, data+string(filepath.Separator)) {
		return errors.New("it lies inside the data directory, so a copy of the data would archive into the same place: keep it elsewhere")
	}
	return nil
}

// writes refuses what would change an archive where that may only be read.
func (c *Config) writes() error {
	if c.ReadOnly {
		return refuse("%s is for a copy of an instance, which changes nothing in the archive", c.file)
	}
	return nil
}

// maxWorkers bounds what a configuration may ask for.
const maxWorkers = 64

func (c *Config) checkTargets() error {
	required, names := 0, map[string]bool{}
	for _, t := range c.Targets {
		switch {
		case t.Scheme == "" || t.Path == "" && t.Scheme != "s3":
			return fmt.Errorf("target %q names no place", t.Name)
		case t.ArchiveDir == "":
			return fmt.Errorf("archive_dir of target %q is empty", t.Name)
		case t.Name == "" || strings.ContainsAny(t.Name, "/\x00\n") || t.Name[0] == '.' || names[t.Name]:
			return fmt.Errorf("target %q needs a name of its own that can be a directory's", t.Name)
		case t.QueueLimit < 0:
			return fmt.Errorf("queue_limit of target %q is no number of bytes", t.Name)
		}
		names[t.Name] = true
		if t.Required {
			required++
		}
	}
	if required == 0 && !c.ReadOnly {
		return errors.New("no target is required, so that nothing would say that WAL is safe")
	}
	return nil
}

// InstancePath makes sure that a path that PostgreSQL gave as %p is in pg_wal of the
// very instance that the configuration is for, and gives it as an absolute one.
// PostgreSQL runs its commands with the data directory as working directory, dir, so a
// copied data directory is found out here.
func (c *Config) InstancePath(dir, path string) (string, error) {
	if !filepath.IsAbs(path) {
		cwd, err := os.Stat(dir)
		if err != nil {
			return "", refuse("the working directory: %w", err)
		}
		data, err := os.Stat(c.DataDir)
		if err != nil {
			return "", refuse("the data directory that %s is for: %w", c.file, err)
		}
		if !os.SameFile(cwd, data) {
			return "", refuse("%s is for the instance in %s, and this one runs in %s: a copied data directory needs its own configuration; run pg_manage apply for it", c.file, c.DataDir, dir)
		}
		path = filepath.Join(dir, path)
	}
	got, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return "", refuse("%s: %w", path, err)
	}
	want, err := os.Stat(filepath.Join(c.DataDir, "pg_wal"))
	if err != nil {
		return "", refuse("pg_wal of the instance that %s is for: %w", c.file, err)
	}
	if !os.SameFile(got, want) {
		return "", refuse("%s is not in pg_wal of %s, the instance that %s is for", path, c.DataDir, c.file)
	}
	return path, nil
}

// CheckUser makes sure that this process runs as the user of the instance. Another one,
// root above all, would leave files here and at the targets that lock the instance out.
func (c *Config) CheckUser() error {
	st, err := os.Stat(c.DataDir)
	if errors.Is(err, fs.ErrNotExist) { // the instance isn't there yet, but its configuration is
		st, err = os.Stat(c.file)
	}
	if err != nil {
		return refuse("%w", err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	who := userName(sys.Uid)
	return refuse("this is to be run as %s, the user of the instance in %s: files that another user makes would lock the instance out; write sudo -u %s before the command", who, c.DataDir, who)
}

// userName is the name of a user, or his number where he has none.
func userName(uid uint32) string {
	who := strconv.Itoa(int(uid))
	if u, err := user.LookupId(who); err == nil {
		who = u.Username
	}
	return who
}

// systemIdentifier reads the instance's own from its control file.
func (c *Config) systemIdentifier() (uint64, error) {
	f, err := os.Open(filepath.Join(c.DataDir, "global", "pg_control"))
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	head := make([]byte, postgres.ControlFileHead)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return postgres.ControlFileIdentity(head)
}

// standby says whether the instance is in standby mode: PostgreSQL removes the file
// when the standby is promoted.
func standby(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "standby.signal"))
	return err == nil
}

// File is the path of the configuration.
func (c *Config) File() string { return c.file }

// Spool is the directory of what restore fetches ahead. In a place that instances share it
// bears the length of the first name too: "a-b" and "c" are not "a" and "b-c".
func (c *Config) Spool() string {
	if c.SpoolDir != "" {
		return filepath.Join(c.SpoolDir, fmt.Sprintf("pg_manage.%d-%s-%s", len(c.Cluster), c.Cluster, c.Node))
	}
	return c.beside("spool")
}

// FormerSpool is where earlier versions had the spool, or "": it is of no use any more, and
// what lies there can be fetched again.
func (c *Config) FormerSpool() string {
	if c.SpoolDir != "" {
		return filepath.Join(c.SpoolDir, "pg_manage-"+c.Cluster+"-"+c.Node)
	}
	return ""
}
