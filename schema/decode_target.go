package schema

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// target reads a target block.
func (l *loader) target(b *block) *Target {
	t := &Target{
		Name:         b.label(),
		ArchiveDir:   l.subdir(b, "archive_dir", "pg_archlog"),
		BackupDir:    l.subdir(b, "backup_dir", "pg_hotbackup"),
		ExportDir:    l.subdir(b, "export_dir", "pg_export"),
		HostKeys:     b.texts("host_keys"),
		IdentityFile: b.absPath("identity_file"),
		S3: S3{
			Endpoint: l.endpoint(b, "endpoint"), Region: b.text("region"), PathStyle: b.flag("path_style", false),
			CAFile: b.absPath("ca_file"), CredentialsFile: b.absPath("credentials_file"), Profile: b.text("profile"),
		},
		Compression:     or(b.oneOf("compression", "zstd", "lz4", "gzip", "none"), "zstd"),
		Recipients:      b.texts("recipients"),
		AgeIdentityFile: b.absPath("age_identity_file"),
		Range:           rangeOf(b.def),
	}
	if b.require("url", `url = "ssh://backup@10.0.0.100/backup"`) {
		t.URL = l.url(b, "url")
	}
	l.checkTarget(b, t)
	return t
}

// subdir reads a folder below the target's path.
func (l *loader) subdir(b *block, name, otherwise string) string {
	s := b.text(name)
	switch {
	case s == "":
		return otherwise
	case strings.HasPrefix(s, "/"), hasDotDot(s), cleanPath(s) == ".":
		b.wrong(name, fmt.Sprintf("%q is not a folder below the target's path", s),
			fmt.Sprintf("Write a name relative to the path of the url, for example %s = %q.", name, otherwise))
		return otherwise
	}
	return cleanPath(s)
}

// checkTarget finds arguments that do not go together.
func (l *loader) checkTarget(b *block, t *Target) {
	dirs := map[string]string{}
	for _, d := range [][2]string{{"archive_dir", t.ArchiveDir}, {"backup_dir", t.BackupDir}, {"export_dir", t.ExportDir}} {
		if other := dirs[d[1]]; other != "" {
			b.wrong(d[0], fmt.Sprintf("%q and %q are the same folder", other, d[0]), "Give each a folder of its own.")
		}
		dirs[d[1]] = d[0]
	}
	for i, r := range t.Recipients {
		if !recipientText.MatchString(r) {
			b.wrongElement("recipients", i, fmt.Sprintf("%q is not an age recipient", abbreviated(r)),
				recipientHelp(r))
		}
	}
	if b.has("age_identity_file") && !b.has("recipients") {
		b.wrong("age_identity_file", `"age_identity_file" goes with recipients`, "Nothing is encrypted without them. Add recipients = [\"age1...\"], or remove the argument.")
	}
	for _, only := range []struct {
		scheme string
		names  []string
	}{
		{"ssh", []string{"host_keys", "identity_file"}},
		{"s3", []string{"endpoint", "region", "path_style", "ca_file", "credentials_file", "profile"}},
	} {
		for _, name := range only.names {
			if b.has(name) && t.URL.Scheme != "" && t.URL.Scheme != only.scheme {
				b.wrong(name, fmt.Sprintf("%q is for %s:// targets", name, only.scheme), fmt.Sprintf("This target is %s://: remove the argument.", t.URL.Scheme))
			}
		}
	}
	if strings.HasPrefix(t.S3.Endpoint, "http:") && t.URL.Scheme == "s3" && len(t.Recipients) == 0 {
		l.warnAt(b.place("endpoint"), "Data goes to this target in the clear", "Who sees the network sees all that is stored. Write https://, or encrypt with recipients.")
	}
}

// endpoint reads the address of an S3 server.
func (l *loader) endpoint(b *block, name string) string {
	s := b.text(name)
	if s == "" {
		return ""
	}
	l.keepPassword(s)
	const example = `Write for example endpoint = "https://minio.example.net:9000".`
	if !strings.Contains(s, "://") {
		b.wrong(name, "The endpoint has no scheme", fmt.Sprintf("Write %q.", "https://"+s))
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		b.wrong(name, "The endpoint cannot be read", example)
	case u.User != nil:
		b.wrong(name, "The endpoint holds credentials", "They belong into a file on the nodes: credentials_file.")
	case u.Scheme != "https" && u.Scheme != "http":
		b.wrong(name, fmt.Sprintf("An endpoint is not %s://", u.Scheme), example)
	case u.Hostname() == "":
		b.wrong(name, "The endpoint names no host", example)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		b.wrong(name, "The endpoint has a path", "The bucket and the path in it stand in the url of the target. "+example)
	default:
		return u.Scheme + "://" + u.Host
	}
	return ""
}

// recipientText is the form of an age X25519 or hybrid public key (age-encryption.org/v1).
var recipientText = regexp.MustCompile(`^(age1[02-9ac-hj-np-z]{58,}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?)$`)

func recipientHelp(r string) string {
	if strings.HasPrefix(strings.ToUpper(r), "AGE-SECRET-KEY-") {
		return "This is a secret key: replace it, since it has been in a file. The recipient is the public key that age-keygen prints; it begins with age1."
	}
	return "A recipient is the public key that age-keygen prints: age1 and 58 letters and digits."
}

// abbreviated shows the start of what may be a secret key.
func abbreviated(s string) string {
	if len(s) <= 12 {
		return s
	}
	return strings.ToValidUTF8(s[:12], "") + "..."
}
