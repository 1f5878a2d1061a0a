// Package demo lays out a small cluster on this machine: a folder with a cluster
// file for two local nodes and a WAL archive beside them. Everything of it lies
// in that folder, so that it can be taken away without a trace.
package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// Names in the folder of a demo.
const (
	Primary      = "node1"
	Standby      = "node2"
	DefaultDir   = "/tmp/pg_manage-demo"
	marker       = ".pg_manage-demo"
	passwordFile = "replication.password"
	clusterFile  = "cluster.hcl"
	firstPort    = 54321
)

// Demo is a folder with a cluster file.
type Demo struct {
	Dir   string
	Owner *user.User // who owns the instances
}

// At names the demo in a folder, whether it is there already or not. Run as
// root, the instances belong to the user postgres, since PostgreSQL refuses to
// run as root; else to the user who runs this.
func At(dir string) (*Demo, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("demo folder: %w", err)
	}
	if !regexp.MustCompile(`^/[A-Za-z0-9._/-]+$`).MatchString(abs) || len(abs) > 60 {
		return nil, fmt.Errorf("%s cannot be the demo's folder: choose a path of at most 60 letters, digits, dots and dashes (PostgreSQL's sockets lie in it)", abs)
	}
	owner, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("cannot tell who runs this: %w", err)
	}
	if owner.Uid == "0" {
		if owner, err = user.Lookup("postgres"); err != nil {
			return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres: %w", err)
		}
	}
	return &Demo{Dir: abs, Owner: owner}, nil
}

// Cluster is the name of the demo's cluster: "demo" in the default folder. In
// another one it is a name of its own, since files of both lie in one home.
func (d *Demo) Cluster() string {
	if d.Dir == DefaultDir {
		return "demo"
	}
	sum := sha256.Sum256([]byte(d.Dir))
	return "demo-" + hex.EncodeToString(sum[:3])
}

// Exists says whether the folder holds a demo of ours: its marker is there and
// nobody else could have put it there.
func (d *Demo) Exists() (bool, error) {
	info, err := os.Lstat(d.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("demo folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || (strconv.Itoa(int(stat.Uid)) != d.Owner.Uid && int(stat.Uid) != os.Getuid()) {
		return false, fmt.Errorf("%s is not a folder of ours: choose another one with --dir", d.Dir)
	}
	if _, err := os.Lstat(filepath.Join(d.Dir, marker)); errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s is there already and holds no demo: choose another folder with --dir", d.Dir)
	} else if err != nil {
		return false, fmt.Errorf("demo folder: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(d.Dir, clusterFile)); errors.Is(err, fs.ErrNotExist) {
		return false, nil // an earlier run ended before it had written everything
	}
	return true, nil
}

// Create writes the folder for a PostgreSQL installation.
func (d *Demo) Create(pg Postgres) error {
	uid, err1 := strconv.Atoi(d.Owner.Uid)
	gid, err2 := strconv.Atoi(d.Owner.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("demo: user %s: %w", d.Owner.Username, err)
	}
	if err := d.mkdir(d.Dir, 0o755, uid, gid); err != nil {
		return err
	}
	if err := create(filepath.Join(d.Dir, marker), "Written by `pg_manage demo`; `pg_manage demo --destroy` removes this folder.\n", 0o644); err != nil {
		return err
	}
	if err := d.mkdir(filepath.Join(d.Dir, "target"), 0o700, uid, gid); err != nil {
		return err
	}
	secret := make([]byte, 24)
	rand.Read(secret) // never fails
	if err := create(filepath.Join(d.Dir, passwordFile), base64.RawURLEncoding.EncodeToString(secret), 0o600); err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	return create(filepath.Join(d.Dir, clusterFile), d.hcl(pg, ports), 0o644)
}

func (d *Demo) mkdir(path string, mode fs.FileMode, uid, gid int) error {
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("demo: %w", err)
	}
	if err := errors.Join(os.Chmod(path, mode), os.Lchown(path, uid, gid)); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// create writes a file anew, never through a link.
func create(path, content string, mode fs.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("demo: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// freePorts finds ports of the loopback interface on which nobody listens.
func freePorts(n int) ([]int, error) {
	var out []int
	for port := firstPort; port < firstPort+1000 && len(out) < n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		out = append(out, port)
	}
	if len(out) < n {
		return nil, fmt.Errorf("demo: no free ports from %d on", firstPort)
	}
	return out, nil
}

func (d *Demo) hcl(pg Postgres, ports []int) string {
	return strings.NewReplacer(
		"CLUSTER", d.Cluster(), "DIR", d.Dir, "OWNER", d.Owner.Username, "VERSION", strconv.Itoa(pg.Major), "BIN", pg.BinDir,
		"PORT1", strconv.Itoa(ports[0]), "PORT2", strconv.Itoa(ports[1]),
	).Replace(`# Two PostgreSQL instances on this machine, and a folder that their WAL goes to.
# Written by "pg_manage demo". Change something here, then run:
#   pg_manage -C DIR plan

target "files" {
  url = "file://DIR/target"
}

cluster "CLUSTER" {
  version = VERSION
  bin_dir = "BIN"

  connection {
    type  = "local"
    owner = "OWNER"
  }

  parameters = {
    listen_addresses        = "127.0.0.1"
    unix_socket_directories = "DIR"
    shared_buffers          = "32MB"
  }

  node "node1" {
    role     = "primary"
    port     = PORT1
    data_dir = "DIR/node1"
  }
  node "node2" {
    role     = "standby"
    port     = PORT2
    data_dir = "DIR/node2"
  }

  replication {
    user     = "replicator"
    password = sensitive(file("DIR/replication.password"))
  }

  archive { target = "files" }
}
`)
}
