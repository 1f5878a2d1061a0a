// Package repo opens backup targets: it finds the storage driver of a target's URL.
package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"pg_manage/executor/remote"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/s3"
	"pg_manage/executor/repo/sftp"
	"pg_manage/executor/repo/storage"
)

// Target is where a backup target lies, how it is reached from a node, and how files
// are written there.
type Target struct {
	Name         string   `json:"name"`
	Scheme       string   `json:"scheme"` // file, nfs, cifs, ssh or s3
	User         string   `json:"user,omitempty"`
	Host         string   `json:"host,omitempty"`          // s3: the bucket
	Port         int      `json:"port,omitempty"`          // 0 leaves it to ssh_config
	Path         string   `json:"path"`                    // s3: what all keys begin with
	ArchiveDir   string   `json:"archive_dir"`             // below Path
	BackupDir    string   `json:"backup_dir,omitempty"`    // below Path, in hook.json: where the clusters' base backups lie
	HostKeys     []string `json:"host_keys,omitempty"`     // public keys that the host may show, beside those of known_hosts
	IdentityFile string   `json:"identity_file,omitempty"` // private key to log in with, before all others

	// Of s3:// targets.
	Endpoint        string `json:"endpoint,omitempty"` // host and port; "" is Amazon's
	Region          string `json:"region,omitempty"`
	PathStyle       bool   `json:"path_style,omitempty"` // the bucket in the path, not in the host name
	CAFile          string `json:"ca_file,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
	Profile         string `json:"profile,omitempty"`

	Compression     string   `json:"compression"` // zstd (also when empty), lz4, gzip or none
	Recipients      []string `json:"recipients,omitempty"`
	AgeIdentityFile string   `json:"age_identity_file,omitempty"` // to decrypt with

	Required   bool  `json:"required"`              // WAL is acknowledged only when it is durable here
	QueueLimit int64 `json:"queue_limit,omitempty"` // bytes that may wait for this target before WAL is dropped; 0: never
}

// String is the target's URL.
func (t Target) String() string {
	host := t.Host
	if t.User != "" {
		host = t.User + "@" + host
	}
	if t.Port != 0 {
		host = strings.TrimSuffix(host, t.Host) + net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
	}
	return t.Scheme + "://" + host + "/" + strings.TrimPrefix(t.Path, "/")
}

// Open connects to a target. The errors of remote.Dial pass through it, so that a
// refused login (*remote.AuthError) or host key (*remote.HostKeyError) can be told apart.
func Open(ctx context.Context, t Target) (storage.Driver, error) {
	switch t.Scheme {
	case "file", "nfs", "cifs":
		return posix.New(t.String(), t.Scheme, t.Path)
	case "ssh":
		return openSSH(ctx, t)
	case "s3":
		return s3.New(ctx, s3.Options{
			Label: t.String(), Bucket: t.Host, Prefix: t.Path, Endpoint: t.Endpoint, Region: t.Region, PathStyle: t.PathStyle,
			CAFile: t.CAFile, CredentialsFile: t.CredentialsFile, Profile: t.Profile,
		})
	}
	return nil, fmt.Errorf("target %q: WAL cannot be kept at %s:// targets: use file, nfs, cifs, ssh or s3", t.Name, t.Scheme)
}

func openSSH(ctx context.Context, t Target) (storage.Driver, error) {
	h, err := remote.Dial(ctx, remote.Options{
		Name: "target " + t.Name, Host: t.Host, User: t.User, Port: t.Port,
		IdentityFile: t.IdentityFile, HostKeys: t.HostKeys,
	})
	if err != nil {
		return nil, err
	}
	rw, err := remote.Subsystem(ctx, h, "sftp")
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	d, err := sftp.New(ctx, rw, sftp.Options{
		Label: t.String(), Root: t.Path, Close: h.Close,
		Session: func(ctx context.Context) (io.ReadWriteCloser, error) { return remote.Subsystem(ctx, h, "sftp") },
		Run: func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
			return run(ctx, h, remote.Command{Args: args, Stdin: stdin, Stdout: stdout})
		},
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return d, nil
}

// run runs a command. A login without a shell (an SFTP-only account) refuses it, or runs
// something else that ends by itself; of a connection that broke nobody knows what it can.
func run(ctx context.Context, h remote.Host, c remote.Command) error {
	_, err := h.Run(ctx, c)
	var lost *remote.LostError
	var failed *remote.CommandError
	var unreached *remote.ConnectError
	var refused *ssh.OpenChannelError
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case errors.As(err, &lost):
		return fmt.Errorf("%w: %w", storage.ErrLost, err)
	case errors.As(err, &failed), errors.As(err, &refused):
		return fmt.Errorf("%w: %w", sftp.ErrNoShell, err)
	case errors.As(err, &unreached):
		return fmt.Errorf("%w: %w", storage.ErrLost, err)
	}
	return fmt.Errorf("%w: %w", sftp.ErrNoShell, err) // the host refuses to run commands
}
