package remote_test

import (
	"os/exec"
	"testing"

	"pg_manage/executor/remote"
)

// Dial and one command, beside the same by OpenSSH's client: same sshd, same key.
func BenchmarkDialAndRun(b *testing.B) {
	s := startSSHD(b)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			h, err := remote.Dial(b.Context(), s.options())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := h.Run(b.Context(), remote.Command{Args: []string{"true"}}); err != nil {
				b.Fatal(err)
			}
			h.Close()
		}
	})
	b.Run("ssh", func(b *testing.B) {
		for b.Loop() {
			run(b, "ssh", "-F", "none", "-i", s.clientKey, "-o", "UserKnownHostsFile="+s.knownHosts, "-o", "BatchMode=yes",
				"-p", itoa(s.port), "root@127.0.0.1", "true")
		}
	})
	b.Run("bare process", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command("ssh", "-V").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRun(b *testing.B) {
	s := startSSHD(b)
	h := dial(b, s.options())
	for name, c := range map[string]remote.Command{
		"direct":   {Args: []string{"true"}},
		"postgres": {Args: []string{"true"}, As: "postgres"},
		"leash":    {Args: []string{"true"}, Leash: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := h.Run(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
