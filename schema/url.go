package schema

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// schemes are the kinds of places that a target may lie at.
func schemes() []string { return []string{"file", "nfs", "cifs", "ssh", "s3"} }

// String is the URL as it would stand in a cluster file.
func (u URL) String() string {
	if u.Scheme == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != "" {
		b.WriteString(url.User(u.User).String() + "@")
	}
	if strings.Contains(u.Host, ":") {
		b.WriteString("[" + u.Host + "]")
	} else {
		b.WriteString(u.Host)
	}
	if u.Port != 0 {
		b.WriteString(":" + strconv.Itoa(u.Port))
	}
	if u.Path != "" && !strings.HasPrefix(u.Path, "/") {
		b.WriteByte('/')
	}
	b.WriteString((&url.URL{Path: u.Path}).EscapedPath())
	return b.String()
}

// urlError is what is wrong with a URL and what to write instead.
type urlError struct{ summary, detail string }

func (e *urlError) Error() string { return e.summary + ": " + e.detail }

// ParseURL reads the place of a target: ssh://user@host:port/path, file:///path,
// nfs:///path, cifs:///path (mounted on the nodes) or s3://bucket/prefix.
func ParseURL(s string) (URL, error) {
	bad := func(summary, detail string) (URL, error) { return URL{}, &urlError{summary, detail} }
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		if strings.HasPrefix(s, "/") {
			return bad("The url has no scheme", fmt.Sprintf("For a folder on the nodes write %q.", "file://"+s))
		}
		return bad("The url has no scheme", "Write for example \"ssh://backup@10.0.0.100/backup\" or \"file:///srv/backup\".")
	}
	switch scheme {
	case "file", "nfs", "cifs", "ssh", "s3":
	default:
		return bad(fmt.Sprintf("Unknown scheme %q", scheme), joinSentences(suggestion(scheme, schemes()), "A target is file://, nfs://, cifs://, ssh:// or s3://."))
	}
	if strings.ContainsAny(rest, "?#") {
		return bad("The url has a ? or #", "Parameters have no place in a target's url; write other settings as arguments of the target.")
	}
	u, err := url.Parse(s)
	if err != nil {
		why := err.Error()
		if ue, ok := err.(*url.Error); ok {
			why = ue.Err.Error()
		}
		return bad("The url cannot be read", capital(why)+`. Write for example "ssh://backup@10.0.0.100:22/backup".`)
	}
	out := URL{Scheme: scheme, Host: u.Hostname(), Path: u.Path}
	if u.User != nil {
		out.User = u.User.Username()
		if _, has := u.User.Password(); has {
			return bad("The url holds a password", "Remove it: ssh:// uses a key (identity_file), s3:// the credentials of the node.")
		}
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return bad(fmt.Sprintf("Port %s is out of range", p), "A port is from 1 to 65535.")
		}
		out.Port = n
	}
	if hasDotDot(out.Path) {
		return bad(`The url has ".." in its path`, "Write the path as it really is.")
	}
	if strings.ContainsAny(out.User+out.Host+out.Path, "\x00\n\r") {
		return bad("The url holds a line break or zero byte", "Write a plain path.")
	}
	return out.checked()
}

// checked holds a URL against the rules of its scheme.
func (u URL) checked() (URL, error) {
	bad := func(summary, detail string) (URL, error) { return URL{}, &urlError{summary, detail} }
	switch u.Scheme {
	case "ssh":
		switch {
		case u.Host == "":
			return bad("The url names no host", `Write "ssh://user@host/path".`)
		case strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User, "-"):
			return bad("A host or user cannot begin with a hyphen", `Write "ssh://user@host/path".`)
		case strings.Trim(u.Path, "/") == "":
			return bad("The url names no path", fmt.Sprintf("Add the folder on that host, for example %q.", URL{Scheme: "ssh", User: u.User, Host: u.Host, Port: u.Port, Path: "/backup"}))
		}
		u.Path = cleanPath(u.Path)
	case "s3":
		switch {
		case u.Host == "":
			return bad("The url names no bucket", `Write "s3://bucket/prefix".`)
		case u.User != "" || u.Port != 0:
			return bad("A bucket has no user or port", `Write "s3://bucket/prefix".`)
		}
		if u.Path = strings.Trim(u.Path, "/"); u.Path != "" {
			u.Path = cleanPath(u.Path)
		}
	default:
		switch {
		case u.Host != "" || u.User != "" || u.Port != 0:
			if u.Scheme == "file" {
				return bad("The path of file:// is not absolute", fmt.Sprintf("It starts with a third slash: write %q.", "file:///"+u.Host+u.Path))
			}
			return bad(fmt.Sprintf("%s:// takes no host", u.Scheme), fmt.Sprintf("Write the path where the share is mounted on the nodes, with three slashes: %q.", u.Scheme+":///mnt"+or(u.Path, "/backup")))
		case u.Path == "":
			return bad("The url names no path", fmt.Sprintf("Write for example %q.", u.Scheme+":///srv/backup"))
		case cleanPath(u.Path) == "/":
			return bad("The path of the url is the root folder", fmt.Sprintf("Name a folder of its own, for example %q.", u.Scheme+":///srv/backup"))
		}
		u.Path = cleanPath(u.Path)
	}
	return u, nil
}

// url reads a target's place.
func (l *loader) url(b *block, name string) URL {
	v, ok := b.shown(name)
	if !ok {
		return URL{}
	}
	s, ok := b.oneLine(name, v)
	if !ok {
		return URL{}
	}
	l.keepPassword(s)
	u, err := ParseURL(s)
	if err != nil {
		ue, ok := err.(*urlError)
		if !ok {
			ue = &urlError{"The url cannot be read", err.Error()}
		}
		b.wrong(name, ue.summary, ue.detail)
	}
	return u
}

// keepPassword keeps the password of a URL out of every message, also where the URL cannot be read.
func (l *loader) keepPassword(s string) {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			if _, password, ok := strings.Cut(rest[:i], ":"); ok {
				l.keepSecret(password)
			}
		}
	}
}
