package acceptance

import (
	"strings"
	"testing"
)

// TestOtherLogins does the main job from logins that are not the owner of the instance.
func TestOtherLogins(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"admin", "root"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "trixie", "node1", "node2")
			s.write("cluster.hcl", strings.Replace(clusterFile(s.version, []string{"node1", "node2"}), `user = "postgres"`, `user = "`+user+`"`, 1))
			s.converge()
			replicated(t, s.node("node1"), s.node("node2"))
			s.archived("node1")
			s.noSecret("node1", "node2")
			s.run("status").want(t, exitOK)
		})
	}
}
