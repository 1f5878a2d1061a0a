package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// makeHome makes the operator's home: a key, a configuration that knows the nodes by name, and no other host key.
func (l *Lab) makeHome() error {
	if err := os.MkdirAll(l.SSHDir, 0o700); err != nil {
		return fmt.Errorf("lab: operator's home: %w", err)
	}
	if err := run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator@lab", "-f", filepath.Join(l.SSHDir, "id_ed25519")); err != nil {
		return err
	}
	return l.writeSSH()
}

// writeSSH writes the operator's known_hosts and config.
func (l *Lab) writeSSH() error {
	var hosts, config strings.Builder
	for _, n := range l.Nodes() {
		key, err := n.HostKey()
		if err != nil {
			return err
		}
		fmt.Fprintf(&hosts, "%s,%s %s\n", n.Name, n.IP, key)
		fmt.Fprintf(&config, "Host %s\n  HostName %s\n\n", n.Name, n.IP)
	}
	fmt.Fprintf(&config, "Host *\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  StrictHostKeyChecking yes\n",
		filepath.Join(l.SSHDir, "id_ed25519"), filepath.Join(l.SSHDir, "known_hosts"))
	for name, text := range map[string]string{"known_hosts": hosts.String(), "config": config.String()} {
		if err := os.WriteFile(filepath.Join(l.SSHDir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("lab: operator's home: %w", err)
		}
	}
	return nil
}

// introduce tells the operator and every running node about all nodes.
func (l *Lab) introduce() error {
	for _, n := range l.Nodes() {
		if pid, _ := n.process(); pid == 0 {
			continue
		}
		if _, err := n.ExecInput(n.hosts(), "tee", "/etc/hosts"); err != nil {
			return err
		}
	}
	return l.writeSSH()
}

// HostKey returns the node's public ed25519 host key, "type base64".
func (n *Node) HostKey() (string, error) {
	data, err := os.ReadFile(n.disk("etc/ssh/ssh_host_ed25519_key.pub"))
	if err != nil {
		return "", fmt.Errorf("lab: host key of %s: %w", n.Name, err)
	}
	f := strings.Fields(string(data))
	if len(f) < 2 {
		return "", fmt.Errorf("lab: host key of %s: malformed %q", n.Name, data)
	}
	return f[0] + " " + f[1], nil
}

// Operator prepares a command on this machine as the operator: HOME is the lab's, and nothing else of the caller's
// environment but PATH gets through.
func (l *Lab) Operator(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"HOME=" + l.Home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "USER=root", "LOGNAME=root"}
	return cmd
}

// SSH prepares the system's ssh to a node as one of its users. A connection is given up after 3 seconds.
func (l *Lab) SSH(user, node string, command ...string) *exec.Cmd {
	return l.Operator("ssh", append([]string{
		"-F", filepath.Join(l.SSHDir, "config"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-l", user, node, "--",
	}, command...)...)
}

// Trust lets a user of one node log in to another node: it makes a key for fromUser if there is none, authorises it for
// toUser, and makes the host key of "to" known to fromUser.
func (l *Lab) Trust(from, fromUser, to, toUser string) error {
	src, dst := l.Node(from), l.Node(to)
	hostKey, err := dst.HostKey()
	if err != nil {
		return err
	}
	pub, err := src.ExecInput(fmt.Sprintf("%s,%s %s\n", dst.Name, dst.IP, hostKey), "runuser", "-u", fromUser, "--", "sh", "-euc", `
		cd; umask 077; mkdir -p .ssh
		[ -f .ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -C "$(id -un)@$(hostname)" -f .ssh/id_ed25519
		cat >>.ssh/known_hosts
		cat .ssh/id_ed25519.pub`)
	if err != nil {
		return err
	}
	_, err = dst.ExecInput(pub, "runuser", "-u", toUser, "--", "sh", "-euc", "cd; umask 077; mkdir -p .ssh; cat >>.ssh/authorized_keys")
	return err
}
