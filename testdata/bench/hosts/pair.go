// Package hosts gives benchmarks two hosts of testdata/lab, both with PostgreSQL and
// pgBackRest of Debian 13: "db", where PostgreSQL runs, and "vault", which has a user
// "backup" that PostgreSQL's user may log in as. The data of both lies in a directory of
// this machine's disk, mounted into them, so no overlay is in the way.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"pg_manage/testdata/lab"
)

// Paths on the hosts.
const (
	Dir       = "/bench" // a directory of this machine's disk
	Programs  = Dir + "/bin"
	PgBin     = "/usr/lib/postgresql/17/bin"
	SocketDir = "/var/run/postgresql"
	PgHome    = "/var/lib/postgresql" // of PostgreSQL's user
)

// Pair is both hosts.
type Pair struct {
	Lab       *lab.Lab
	DB, Vault *Host
	Home      string // on this machine: what is mounted into the hosts, and PostgreSQL's log, lie in it

	down func() error
}

// Open starts both hosts, with their data below a new directory in dir. When the context
// ends the hosts go at once, and what waits for them ends with an error.
func Open(ctx context.Context, dir, prefix string) (_ *Pair, err error) {
	l, err := lab.Make()
	if err != nil {
		return nil, err
	}
	p := &Pair{Lab: l, down: sync.OnceValue(l.Down)}
	context.AfterFunc(ctx, func() { _ = p.down() })
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close(false))
		}
	}()
	if p.Home, err = os.MkdirTemp(dir, prefix); err != nil {
		return nil, err
	}
	if err := l.Add(ctx, lab.NodeSpec{Name: "db"}, lab.NodeSpec{Name: "vault", Backup: true}); err != nil {
		return nil, err
	}
	if err := l.Trust("db", "postgres", "vault", "backup"); err != nil {
		return nil, err
	}
	if err := os.Chmod(p.Home, 0o755); err != nil {
		return nil, err
	}
	if p.DB, err = p.mountDisk("db", "postgres"); err != nil {
		return nil, err
	}
	if p.Vault, err = p.mountDisk("vault", "backup"); err != nil {
		return nil, err
	}
	return p, p.installPgBackRest(ctx)
}

// mountDisk gives a host a directory of this machine's disk at Dir.
func (p *Pair) mountDisk(name, user string) (*Host, error) {
	h, err := newHost(p.Lab.Node(name))
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(p.Home, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := h.Exec("mkdir", Dir); err != nil {
		return nil, err
	}
	if err := mountInto(h.Init, dir, Dir); err != nil {
		return nil, err
	}
	_, err = h.Exec("chown", user+":", Dir)
	return h, err
}

// Close ends the hosts and removes their data, or says where it is kept.
func (p *Pair) Close(keep bool) error {
	err := p.down()
	if p.Home == "" {
		return err
	}
	if keep {
		fmt.Printf("kept: %s\n", p.Home)
		return err
	}
	return errors.Join(err, os.RemoveAll(p.Home))
}

// CheckDisk refuses file systems that would make all figures worthless, and those that
// have less room than wanted, in bytes. less says how less can do.
func CheckDisk(dir string, want int64, less string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	const tmpfs, overlay = 0x01021994, 0x794c7630
	if st.Type == tmpfs || st.Type == overlay {
		return fmt.Errorf("%s is a tmpfs or an overlay: give a directory on a real disk with -dir", dir)
	}
	if free := int64(st.Bavail) * st.Bsize; free < want {
		return fmt.Errorf("%s has %d MB free, and %d are needed: give another directory with -dir, or %s", dir, free>>20, want>>20, less)
	}
	return nil
}

// Build makes programs of this module in Programs on the host "db".
func (p *Pair) Build(packages ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", p.Path(Programs) + "/"}, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// Path is where something of the host "db" lies on this machine.
func (p *Pair) Path(name string) string {
	return filepath.Join(p.Home, "db", strings.TrimPrefix(name, Dir))
}

// VaultPath is where something of the host "vault" lies on this machine.
func (p *Pair) VaultPath(name string) string {
	return filepath.Join(p.Home, "vault", strings.TrimPrefix(name, Dir))
}

// OnMachine runs a command on this machine.
func OnMachine(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// AsPostgres are the words of a command that runs as PostgreSQL's user. The first may set
// variables of the environment.
func AsPostgres(args ...string) []string {
	return append([]string{"runuser", "-u", "postgres", "--", "env", "HOME=" + PgHome, "USER=postgres", "LOGNAME=postgres"}, args...)
}

// Command prepares a command on the host "db" as PostgreSQL's user.
func (p *Pair) Command(args ...string) *exec.Cmd { return p.DB.Command(AsPostgres(args...)...) }

// Run runs a command on the host "db" as PostgreSQL's user.
func (p *Pair) Run(args ...string) (string, error) { return p.DB.Exec(AsPostgres(args...)...) }

// WriteFile writes a file on the host "db" as PostgreSQL's user.
func (p *Pair) WriteFile(name, text string) error {
	_, err := p.DB.ExecInput(text, AsPostgres("sh", "-euc", `umask 077; cat >"$1"`, "sh", name)...)
	return err
}

// Empty makes an empty directory on the host "db" for PostgreSQL's user.
func (p *Pair) Empty(dir string) error {
	if err := os.RemoveAll(p.Path(dir)); err != nil {
		return err
	}
	_, err := p.Run("mkdir", "-m", "700", dir)
	return err
}

// EmptyAtVault makes an empty directory on the host "vault" for its user "backup".
func (p *Pair) EmptyAtVault(dir string) error {
	if err := os.RemoveAll(p.VaultPath(dir)); err != nil {
		return err
	}
	_, err := p.Vault.Exec("install", "-d", "-o", "backup", "-g", "backup", "-m", "700", dir)
	return err
}

// Settle leaves the disk without work of ours that would disturb the next measurement.
func (p *Pair) Settle() error { return OnMachine("sync", "-f", p.Home) }

// CPU is the processor time that all processes of both hosts have taken.
func (p *Pair) CPU() time.Duration { return p.DB.CPU() + p.Vault.CPU() }

// FileSystem is the type of the file system that the data lies on.
func (p *Pair) FileSystem() string {
	fs, err := exec.Command("findmnt", "-n", "-o", "FSTYPE", "-T", p.Home).Output()
	if err != nil {
		return "a file system that findmnt doesn't tell"
	}
	return strings.TrimSpace(string(fs))
}

// Said is what commands on the host "db" say of themselves, in one line.
func (p *Pair) Said(commands ...[]string) string {
	var out []string
	for _, c := range commands {
		said, err := p.Run(c...)
		if err != nil {
			said = err.Error()
		}
		out = append(out, strings.Join(strings.Fields(said), " "))
	}
	return strings.Join(out, "; ")
}

// LoadAverage is this machine's, over 1, 5 and 15 minutes.
func LoadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}
