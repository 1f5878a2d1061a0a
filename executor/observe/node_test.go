package observe

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

func declare(t testing.TB, s *server, name string) (*schema.Cluster, *schema.Node) {
	t.Helper()
	_, major := binDir(t)
	n := &schema.Node{
		Name: name, Role: schema.RolePrimary, Port: s.port, DataDir: s.data,
		Parameters: map[string]string{"work_mem": "8MB", "unix_socket_directories": s.socket},
		Connection: schema.Connection{Type: "local", Owner: me(t)},
	}
	c := &schema.Cluster{
		Name: "main", Version: major, Nodes: []*schema.Node{n},
		Replication: &schema.Replication{User: "repl'icator", Password: schema.NewSecret(`s3:c\ret'`)},
	}
	return c, n
}

// asOwner is this machine as one sees it who logs in as the owner of the instance.
type asOwner struct {
	remote.Host
	owner string
	dial  func() error // refuses, when set
}

func (h *asOwner) LoginUser() string { return h.owner }

func (h *asOwner) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if h.dial == nil && strings.Contains(strings.Join(cmd.Args, " "), "psql") {
		return remote.Result{}, errors.New("psql was run where the socket serves")
	}
	cmd.As = h.owner
	return h.Host.Run(ctx, cmd)
}

func (h *asOwner) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if h.dial != nil {
		return nil, h.dial()
	}
	return h.Host.Dial(ctx, network, address)
}

func local(t testing.TB) remote.Host {
	t.Helper()
	h := remote.NewLocal("here")
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func look(t testing.TB, h remote.Host, c *schema.Cluster, n *schema.Node) *planner.NodeFacts {
	t.Helper()
	f := Node(t.Context(), h, c, n, Options{})
	if f.Unreachable != "" {
		t.Fatalf("unreachable: %s", f.Unreachable)
	}
	return f
}

// eventually polls, since a server's statistics come with a delay.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestPrimaryAndStandby(t *testing.T) {
	t.Run("through psql", func(t *testing.T) { primaryAndStandby(t, local(t)) })
	t.Run("through the socket", func(t *testing.T) { primaryAndStandby(t, &asOwner{Host: local(t), owner: me(t)}) })
	t.Run("no forwarding", func(t *testing.T) {
		primaryAndStandby(t, &asOwner{Host: local(t), owner: me(t), dial: func() error { return errors.New("forwarding is off") }})
	})
}

func primaryAndStandby(t *testing.T, h remote.Host) {
	dir := place(t)
	p := newPrimary(t, dir)
	p.sql(t, `SET password_encryption = 'scram-sha-256'; CREATE ROLE "repl'icator" LOGIN REPLICATION PASSWORD E's3:c\\ret\''`)
	s := newStandby(t, dir, p)
	c, n := declare(t, p, "one")
	c2, n2 := declare(t, s, "two")

	f := look(t, h, c, n)
	if !f.Server.Running || !f.Server.Accepting || f.Server.Port != p.port || f.Server.PID == 0 || f.Server.InRecovery {
		t.Fatalf("primary: %+v", f.Server)
	}
	if f.Data.State != planner.DataCluster || !f.Data.Checksums || f.Data.SystemIdentifier == "" || f.Data.ControlState != "in production" || f.Data.SegmentSize != 16<<20 {
		t.Errorf("data: %+v", f.Data)
	}
	if f.Server.Timeline != 1 || f.Server.CurrentLSN == 0 || f.Server.StartedAt.IsZero() || f.Server.Version.Major() != c.Version {
		t.Errorf("server: %+v", f.Server)
	}
	if got := f.Server.Settings["work_mem"]; got.Value != "8192" || got.Unit != "kB" || got.VarType != "integer" {
		t.Errorf("work_mem: %+v", got)
	}
	if strings.Join(f.Server.FromOurFile, " ") != "work_mem" {
		t.Errorf("from our file: %v", f.Server.FromOurFile)
	}
	if r := f.Server.ReplicationRole; r == nil || !r.Login || !r.Replication || !r.PasswordMatches {
		t.Errorf("role: %+v", r)
	}
	if f.Files.Settings != "work_mem = '8MB'\n" || !f.Files.Included || !f.Files.ConfigExists || f.Files.HBAErrors != "" || f.Files.SettingsErrors != "" {
		t.Errorf("files: %+v", f.Files)
	}
	if f.Paths.SocketDir != p.socket || f.Paths.ConfigDir != p.data || f.Paths.BinDir != p.bin || f.Paths.Manager != planner.ManagerPgCtl {
		t.Errorf("paths: %+v", f.Paths)
	}
	if f.Host.Packages[c.Version] == "" || f.Host.Hostname == "" || f.Host.OwnerHome == "" || f.Host.Arch == "" {
		t.Errorf("host: %+v", f.Host)
	}
	if len(f.Server.Slots) != 1 || f.Server.Slots[0].Name != "pg_manage_two" || f.Server.Slots[0].WALStatus != "reserved" {
		t.Errorf("slots: %+v", f.Server.Slots)
	}

	eventually(t, "the standby streams", func() bool {
		r := look(t, h, c2, n2).Server.Receiver
		return r != nil && r.Status == "streaming"
	})
	g := look(t, h, c2, n2)
	if !g.Server.InRecovery || !g.Data.StandbySignal || g.Server.ReplayLSN == 0 || g.Server.Receiver.Slot != "pg_manage_two" ||
		g.Server.Receiver.SenderPort != p.port || g.Server.Timeline != 1 || g.Data.SystemIdentifier != f.Data.SystemIdentifier {
		t.Errorf("standby: %+v %+v %+v", g.Server, g.Server.Receiver, g.Data)
	}
	if _, ok := g.Server.AutoConf["primary_conninfo"]; !ok {
		t.Errorf("auto.conf: %v", g.Server.AutoConf)
	}
	eventually(t, "the primary shows its sender", func() bool {
		f = look(t, h, c, n)
		return len(f.Server.Senders) == 1 && f.Server.Senders[0].State == "streaming"
	})

	c.Replication.Password = schema.NewSecret("another")
	p.sql(t, "ALTER SYSTEM SET max_connections = 77")
	p.sql(t, "SELECT pg_reload_conf()")
	eventually(t, "the change is pending", func() bool {
		f = look(t, h, c, n)
		return len(f.Server.PendingRestart) == 1
	})
	if f.Server.PendingRestart[0] != "max_connections" || f.Server.ReplicationRole.PasswordMatches || f.Server.AutoConf["max_connections"] != "77" {
		t.Errorf("after the change: %v, %+v, %v", f.Server.PendingRestart, f.Server.ReplicationRole, f.Server.AutoConf)
	}

	s.stop(t)
	g = look(t, h, c2, n2)
	if g.Server.Running || g.Data.ControlState != "shut down in recovery" || g.Server.PortTaken != "" {
		t.Errorf("stopped standby: %+v %+v", g.Server, g.Data)
	}
	n2.Port = p.port
	if g = look(t, h, c2, n2); !strings.Contains(g.Server.PortTaken, p.data) {
		t.Errorf("port taken: %q", g.Server.PortTaken)
	}
}
