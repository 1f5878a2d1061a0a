// Package repo opens backup targets: it finds the storage driver of a target's URL.
package repo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"pg_manage/executor/remote"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/s3"
	"pg_manage/executor/repo/sftp"
	"pg_manage/executor/repo/storage"
)

// Target is where a backup target lies and how it is reached from a node.
type Target struct {
	Name         string   `json:"name"`
	Scheme       string   `json:"scheme"` // file, nfs, cifs, ssh or s3
	User         string   `json:"user,omitempty"`
	Host         string   `json:"host,omitempty"`          // with s3 the bucket
	Port         int      `json:"port,omitempty"`          // 0 leaves it to ssh_config
	Path         string   `json:"path"`                    // with s3 what all keys begin with, which may be ""
	ArchiveDir   string   `json:"archive_dir"`             // below Path
	HostKeys     []string `json:"host_keys,omitempty"`     // public keys that the host may show, beside those of known_hosts
	IdentityFile string   `json:"identity_file,omitempty"` // private key to log in with, before all others

	// With s3 alone; see s3.Options.
	Endpoint        string `json:"endpoint,omitempty"`
	Region          string `json:"region,omitempty"`
	PathStyle       bool   `json:"path_style,omitempty"`
	CAFile          string `json:"ca_file,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
	Profile         string `json:"profile,omitempty"`

	// How objects are stored; see codec.Settings and codec.New.
	Compression     string   `json:"compression,omitempty"`
	Recipients      []string `json:"recipients,omitempty"`
	AgeIdentityFile string   `json:"age_identity_file,omitempty"`

	Required   bool  `json:"required"`              // a file is archived only once it is durable here
	QueueLimit int64 `json:"queue_limit,omitempty"` // bytes that may wait for a target that isn't required; 0: no limit
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
		SyncDir: func(ctx context.Context, dir string) error { return syncDir(ctx, h, dir) },
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return d, nil
}

// syncDir runs sync(1) on a directory. A login without a shell (an SFTP-only account)
// refuses the command, prints something else or ends it with a status of its own; only
// a sync that ran and says that it failed is an error.
func syncDir(ctx context.Context, h remote.Host, dir string) error {
	res, err := h.Run(ctx, remote.Command{Args: []string{"sync", "--", dir}})
	var lost *remote.LostError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.As(err, &lost), strings.HasPrefix(string(res.Stderr), "sync:"):
		return err
	}
	return sftp.ErrNoShell
}
