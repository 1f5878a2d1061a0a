package instance

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// logFile is where the server's output goes when pg_ctl starts it.
func (i *Instance) logFile() string { return path.Join(i.State, "postgresql.log") }

// logScript shows the end of the newest log of the server: what pg_ctl wrote, what
// Debian's tools write, or what the logging collector writes.
const logScript = `newest=
for f in "$1" "$2" "$3"/log/*.log "$3"/pg_log/*.log; do
	[ -f "$f" ] && [ -r "$f" ] || continue
	if [ -z "$newest" ] || [ "$f" -nt "$newest" ]; then newest=$f; fi
done
[ -n "$newest" ] || exit 0
printf '%s\n' "$newest"
tail -n "$4" -- "$newest"
`

// LogTail gives the end of the server's log, secrets taken out, behind the name of
// the file; "" when there is none.
func (i *Instance) LogTail(ctx context.Context, lines int) string {
	debian := ""
	if name, ok := i.Debian(); ok {
		debian = fmt.Sprintf("/var/log/postgresql/postgresql-%d-%s.log", i.Major, name)
	}
	res, err := i.script(ctx, "show the end of the server's log", logScript, i.logFile(), debian, i.DataDir, fmt.Sprint(lines))
	if err != nil {
		return ""
	}
	file, text, _ := strings.Cut(string(res.Stdout), "\n")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "the end of " + file + ":\n" + Redact(strings.TrimRight(text, "\n"))
}

// Redact takes passwords and SCRAM verifiers out of a text that a server or a program printed.
func Redact(s string) string {
	s = regexp.MustCompile(`(?i)\b(password\s*=?\s*)(e?'(?:[^']|'')*'|"[^"]*"|[^\s'",:;]+=[^\s'"]*)`).ReplaceAllString(s, "$1'***'")
	s = regexp.MustCompile(`(?i)\b(password=)[^\s'"]+`).ReplaceAllString(s, "$1***")
	return regexp.MustCompile(`SCRAM-SHA-256\$[0-9]+:[^\s']+`).ReplaceAllString(s, "***")
}

// withLog adds the end of the server's log to an error, since it has the reason.
func (i *Instance) withLog(ctx context.Context, err error) error {
	if tail := i.LogTail(ctx, 15); tail != "" {
		return fmt.Errorf("%w\n%s", err, tail)
	}
	return err
}
