package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// Passfile is the whole content of a node's passfile: the password of the
// replication role, for replication connections to any host. "" when the cluster
// declares no password, or one that a passfile cannot hold.
func Passfile(c *schema.Cluster, _ *schema.Node) string {
	if c.Replication == nil || c.Replication.Password.IsZero() {
		return ""
	}
	line, err := postgres.PassfileLine("*", "*", "replication", c.Replication.User, c.Replication.Password.Reveal())
	if err != nil {
		return ""
	}
	return line + "\n"
}

// passfileMatches compares the file by its hash, so that no password travels. libpq
// ignores a passfile that others may read.
func passfileMatches(s *sections, c *schema.Cluster, n *schema.Node) bool {
	want := Passfile(c, n)
	if want == "" {
		return s.get("sha_passfile") == "" && !s.is("pass_unreadable")
	}
	sum := sha256.Sum256([]byte(want))
	if s.get("sha_passfile") != hex.EncodeToString(sum[:]) {
		return false
	}
	f := strings.Fields(s.get("pass_stat")) // size, time, mode, device
	return len(f) == 4 && f[2] == "600"
}

// roleFacts judges the role by the verifier that the server keeps.
func roleFacts(r *roleRow, c *schema.Cluster) *planner.RoleFacts {
	if r == nil {
		return nil
	}
	f := &planner.RoleFacts{Login: r.Login, Replication: r.Replication}
	if c.Replication != nil {
		f.PasswordMatches = c.Replication.Password.IsZero() || scramMatches(c.Replication.Password.Reveal(), r.Verifier)
	}
	return f
}
