package remote

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// quote makes one word of a POSIX shell command line. shellescape leaves "=" bare,
// which the first word of a command must not have, and which zsh expands.
func quote(s string) string {
	q := shellescape.Quote(s)
	if q == s && strings.Contains(s, "=") {
		return "'" + s + "'"
	}
	return q
}

func quoteAll(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = quote(a)
	}
	return strings.Join(words, " ")
}

var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*\$?$`)

// asScript prepares the environment of another user: neither runuser -u nor sudo
// gives all of it. "~name" is expanded by every POSIX shell (XCU 2.6.1), so that
// getent is not needed. The sbin directories are where PostgreSQL's and the
// system's administration commands are on some distributions.
const asScript = `HOME=~%[1]s USER=%[1]s LOGNAME=%[1]s PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin"
export HOME USER LOGNAME PATH
`

// leashScript runs "$@" in a session of its own and reads the input that the other
// end holds open. When that ends, or no heartbeat came for %[1]d seconds, the
// command gets SIGTERM and ten seconds later SIGKILL, also those of its children that
// outlive it. The watcher keeps none of the command's outputs open.
const leashScript = `exec 3<&0 </dev/null
setsid "$@" 3<&- &
c=$!
(
	trap - TERM
	while b=$(timeout %[1]d head -c 1 <&3) && [ -n "$b" ]; do :; done
	trap '' TERM
	kill -s TERM -- "-$c" || kill -s TERM "$c"
	sleep 10
	kill -s KILL -- "-$c"
) >/dev/null 2>&1 &
w=$!
exec 3<&-
trap 'kill -s TERM -- "-$c"' HUP INT TERM
wait "$c"; s=$?
while [ $s -gt 128 ] && kill -s 0 "$c" 2>/dev/null; do wait "$c"; s=$?; done
kill "$w" 2>/dev/null
exit $s
`

// commandLine is what the shell at the other end is given, for this command and
// login user. Every character of every word survives it.
func commandLine(cmd Command, login string, leashTimeout time.Duration) (string, error) {
	if len(cmd.Args) == 0 || cmd.Args[0] == "" || strings.HasPrefix(cmd.Args[0], "-") {
		return "", fmt.Errorf("%q names no program", cmd.Args)
	}
	for _, w := range append([]string{cmd.Dir, cmd.As}, cmd.Args...) {
		if strings.ContainsRune(w, 0) {
			return "", errors.New("a word of a command cannot hold a NUL character")
		}
	}
	if cmd.Leash && cmd.Stdin != nil {
		return "", errors.New("a command on a leash cannot have an input")
	}
	other := cmd.As != "" && cmd.As != login
	if other && !userName.MatchString(cmd.As) {
		return "", fmt.Errorf("%q is no user name", cmd.As)
	}
	var script strings.Builder
	if other {
		fmt.Fprintf(&script, asScript, cmd.As)
	}
	switch dir := cmd.Dir; {
	case dir != "":
		if !strings.HasPrefix(dir, "/") {
			dir = "./" + dir
		}
		fmt.Fprintf(&script, "cd %s || exit 1\n", quote(dir))
	case cmd.As != "":
		script.WriteString("cd / || exit 1\n")
	}
	if cmd.Leash {
		fmt.Fprintf(&script, leashScript, max(1, int(leashTimeout/time.Second)))
	} else {
		script.WriteString(`exec "$@"`)
	}
	var sh []string
	if !cmd.Leash && !other && cmd.Dir == "" && cmd.As == "" {
		sh = cmd.Args
	} else {
		sh = append([]string{"/bin/sh", "-c", script.String(), "sh"}, cmd.Args...)
	}
	if other {
		sh = append(become(login, cmd.As), sh...)
	}
	return "exec " + quoteAll(sh), nil
}

// become is the command that changes from one user to another without asking.
func become(from, to string) []string {
	if from == "root" {
		return []string{"runuser", "-u", to, "--"}
	}
	return []string{"sudo", "-n", "-H", "-u", to, "--"}
}

const maxShown = 200

// Shown is the command as a person would type it, cut to what fits a message.
func (c Command) Shown() string {
	words := make([]string, 0, len(c.Args))
	for i, a := range c.Args {
		// A script is known by its first line.
		if i == 2 && c.Args[1] == "-c" {
			line, rest, cut := strings.Cut(strings.TrimSpace(a), "\n")
			if len(line) > 60 {
				line, cut = line[:60], true
			}
			if cut || rest != "" {
				line += " ..."
			}
			a = line
		}
		words = append(words, shellescape.Quote(a))
	}
	s := strings.ToValidUTF8(strings.Join(words, " "), "?")
	if r := []rune(s); len(r) > maxShown {
		s = string(r[:maxShown]) + " ..."
	}
	if c.As != "" {
		s += " (as " + c.As + ")"
	}
	return s
}
