package schema

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func cmpTypeRange() reflect.Type { return reflect.TypeFor[Range]() }

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"24h": 24 * time.Hour, "7d": 168 * time.Hour, "1h30m": 90 * time.Minute, "90s": 90 * time.Second, "2w": 336 * time.Hour,
		"0": 0, "500ms": 500 * time.Millisecond, "1.5h": 90 * time.Minute, "1d 12h": 36 * time.Hour, "5min": 5 * time.Minute,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1h", "1", "h", "1x", "1h-30m", "..s", "1h30", "999999999w", "NaNs", "1e3s", "∞d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"50GB": 50 << 30, "256MB": 256 << 20, "1kB": 1024, "2TB": 2 << 40, "1.5GB": 3 << 29, " 1 GB ": 1 << 30, "0.5kB": 512,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, why := range map[string]string{
		"": "empty", "-1GB": "negative", "50": "unit is missing", "GB": "begin with a number", "50gb": "is written GB", "50G": "is written GB",
		"50GiB": "is written GB", "1KB": "is written kB", "1PB": "not a unit", "1..5GB": "not a number", "0GB": "nothing", "99999999TB": "too large",
		"0.0001kB": "nothing", "1e3MB": "not a unit", "1 000MB": "not a unit", "٣GB": "begin with a number",
	} {
		if got, err := ParseSize(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ParseSize(%q) = %d, %v; want an error with %q", in, got, err, why)
		}
	}
}

// FuzzParseSize holds what is read against what it says: writing it down in bytes changes nothing.
func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"50GB", "256MB", "1.5TB", "0kB", "-1MB", "9223372036854775807kB", "1e9GB", "1 kB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if (n > 0) != (err == nil) {
			t.Fatalf("ParseSize(%q) = %d, %v", s, n, err)
		}
		if err == nil && n%1024 == 0 && n/1024 < 1<<40 {
			if again, err := ParseSize(fmt.Sprintf("%dkB", n/1024)); again != n {
				t.Fatalf("%q is %d, and as kB %d, %v", s, n, again, err)
			}
		}
	})
}

func TestURLRoundTrip(t *testing.T) {
	for in, want := range map[string]URL{
		"ssh://backup@10.0.0.100/backup": {Scheme: "ssh", User: "backup", Host: "10.0.0.100", Path: "/backup"},
		"ssh://nas:2222/b/c":             {Scheme: "ssh", Host: "nas", Port: 2222, Path: "/b/c"},
		"ssh://[fe80::1]:22/b":           {Scheme: "ssh", Host: "fe80::1", Port: 22, Path: "/b"},
		"file:///srv/with%20space":       {Scheme: "file", Path: "/srv/with space"},
		"nfs:///mnt/nas":                 {Scheme: "nfs", Path: "/mnt/nas"},
		"cifs:///mnt/nas":                {Scheme: "cifs", Path: "/mnt/nas"},
		"s3://bucket":                    {Scheme: "s3", Host: "bucket"},
		"s3://bucket/a/b":                {Scheme: "s3", Host: "bucket", Path: "a/b"},
	} {
		got, err := ParseURL(in)
		if err != nil || got != want {
			t.Errorf("ParseURL(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if got.String() != in {
			t.Errorf("ParseURL(%q).String() = %q", in, got.String())
		}
	}
}

func TestDefaultPaths(t *testing.T) {
	for _, tc := range []struct {
		family string
		want   Paths
	}{
		{"debian", Paths{"/var/lib/postgresql/17/main", "/etc/postgresql/17/main", "/usr/lib/postgresql/17/bin", "/var/log/postgresql"}},
		{"rhel", Paths{"/var/lib/pgsql/17/data", "", "/usr/pgsql-17/bin", ""}},
		{"arch", Paths{}},
	} {
		if got := DefaultPaths(tc.family, 17); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.family, got, tc.want)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		from       []string
	}{
		{"nsa", "nas", []string{"nas", "cloud"}},
		{"prot", "port", []string{"port", "host"}},
		{"standy", "standby", []string{"primary", "standby"}},
		{"tape", "", []string{"nas", "cloud"}},
		{"", "", []string{"nas"}},
		{"x", "", nil},
	} {
		if got := nearest(tc.name, tc.from); got != tc.want {
			t.Errorf("nearest(%q, %q) = %q, want %q", tc.name, tc.from, got, tc.want)
		}
	}
}

func TestFormat(t *testing.T) {
	got, ds := Format("<input>", []byte("cluster \"main\" {\nversion=17\n  data_dir  =   \"/srv\"\n}\n"))
	want := "cluster \"main\" {\n  version  = 17\n  data_dir = \"/srv\"\n}\n"
	if string(got) != want || len(ds) > 0 {
		t.Errorf("got %q, %s", got, render(ds))
	}
	bad := []byte("cluster \"main\" {\n")
	got, ds = Format("<input>", bad)
	if string(got) != string(bad) || !ds.HasErrors() || ds[0].Snippet != `cluster "main" {` {
		t.Errorf("got %q, %s", got, render(ds))
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":  "a = " + strings.Repeat("[", 3_000),
		"parens":    "a = " + strings.Repeat("(", 3_000),
		"not":       "a = " + strings.Repeat("!", 3_000) + "true",
		"minus":     "a = " + strings.Repeat("-", 3_000) + "1",
		"choices":   "a = " + strings.Repeat("true?1:", 3_000) + "1",
		"templates": "a = " + strings.Repeat("\"${", 3_000),
		"blocks":    strings.Repeat("a {\n", 3_000),
		"size":      strings.Repeat("#", maxFileSize+1),
		"sums":      "locals {\na = 1" + strings.Repeat("+1", 3_000) + "\n}",
	} {
		t.Run(name, func(t *testing.T) {
			if _, ds := LoadFiles(map[string][]byte{"main.hcl": []byte(text)}, LoadOptions{}); !ds.HasErrors() {
				t.Error("no error")
			}
		})
	}
}
