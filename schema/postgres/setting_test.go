package postgres

import (
	"math"
	"os"
	"strings"
	"testing"
)

func TestEqualSetting(t *testing.T) {
	kb8 := Setting{Name: "shared_buffers", Unit: "8kB", VarType: "integer", Value: "16384"}
	ms := Setting{Name: "log_min_duration_statement", Unit: "ms", VarType: "integer", Value: "1500"}
	mb := Setting{Name: "max_wal_size", Unit: "MB", VarType: "integer", Value: "1024"}
	wal := Setting{Name: "wal_compression", VarType: "enum", Value: "pglz", EnumVals: []string{"pglz", "lz4", "on", "off"}}
	level := Setting{Name: "wal_level", VarType: "enum", Value: "replica", EnumVals: []string{"minimal", "replica", "logical"}}
	cost := Setting{Name: "vacuum_cost_delay", Unit: "ms", VarType: "real", Value: "0.5"}
	perms := Setting{Name: "unix_socket_permissions", VarType: "integer", Value: "0777"}
	on := Setting{Name: "hot_standby", VarType: "bool", Value: "on"}
	list := Setting{Name: "listen_addresses", VarType: "string", Value: "localhost, 10.0.0.1"}
	for _, c := range []struct {
		declared string
		s        Setting
		want     bool
		bad      bool
	}{
		{"128MB", kb8, true, false},
		{"0.125GB", kb8, true, false},
		{"131072kB", kb8, true, false},
		{"16384", kb8, true, false},
		{" 128 MB ", kb8, true, false},
		{"0x4000", kb8, true, false},
		{"040000", kb8, true, false},
		{"1.6384e4", kb8, true, false},
		{"134217728B", kb8, true, false},
		{"128mb", kb8, false, true},
		{"128MB x", kb8, false, true},
		{"2GB", kb8, false, false},
		{"", kb8, false, true},
		{"9e99", kb8, false, true},
		{"1.5s", ms, true, false},
		{"1500000us", ms, true, false},
		{"0.025min", ms, false, false}, // rounds to whole seconds: 2s
		{"1500.4", ms, true, false},
		{"-1", ms, false, false},
		{"1GB", mb, true, false},
		{"1048576kB", mb, true, false},
		{"on", wal, true, false},
		{"TRUE", wal, true, false},
		{"lz4", wal, false, false},
		{"pq", wal, false, true},
		{"hot_standby", level, true, false},
		{"Replica", level, true, false},
		{"500us", cost, true, false},
		{"0.5", cost, true, false},
		{".5ms", cost, true, false},
		{"1", cost, false, false},
		{"x", cost, false, true},
		{"0777", perms, true, false},
		{"511", perms, true, false},
		{"0700", perms, false, false},
		{"777kB", perms, false, true},
		{"tr", on, true, false},
		{"Y", on, true, false},
		{"o", on, false, true},
		{"of", on, false, false},
		{"localhost, 10.0.0.1", list, true, false},
		{"localhost,10.0.0.1", list, false, false},
		{"-1", Setting{Name: "wal_buffers", Unit: "8kB", VarType: "integer", Value: "512"}, true, false},
		{"utc", Setting{Name: "TimeZone", VarType: "string", Value: "UTC"}, true, false},
		{"1", Setting{Name: "x", VarType: "odd"}, false, true},
	} {
		got, err := EqualSetting(c.declared, c.s)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s = %q against %q: got %v, %v; want %v, error %v", c.s.Name, c.declared, c.s.Value, got, err, c.want, c.bad)
		}
	}
}

// TestAgainstServer holds what PostgreSQL 15 showed in pg_settings after SET.
func TestAgainstServer(t *testing.T) {
	text, err := os.ReadFile("testdata/settings-15.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			t.Fatalf("%q has %d fields", line, len(f))
		}
		s := Setting{Name: f[0], Unit: f[2], VarType: f[3], Value: f[4]}
		if f[5] != "" {
			s.EnumVals = strings.Split(f[5], ",")
		}
		if eq, err := EqualSetting(f[1], s); !eq || err != nil {
			norm, _ := NormalizeSetting(f[1], s)
			t.Errorf("%s = %q: got %q, the server shows %q (%v)", s.Name, f[1], norm, s.Value, err)
		}
	}
}

func TestRoundingAsTheServer(t *testing.T) {
	for _, c := range []struct{ declared, unit, want string }{
		{"30.1GB", "kB", "31561728"}, // 30822.4 MB: rounded to whole MB, the next smaller unit
		{"1.5kB", "8kB", "0"},
		{"12kB", "8kB", "2"},
		{"0.5min", "s", "30"},
		{"1.0001h", "min", "60"},
		{"2.5", "", "2"},
		{"3.5", "", "4"},
	} {
		got, err := NormalizeSetting(c.declared, Setting{Name: "x", Unit: c.unit, VarType: "integer"})
		if err != nil || got != c.want {
			t.Errorf("%s in %q: got %s, %v; want %s", c.declared, c.unit, got, err, c.want)
		}
	}
}

func FuzzNormalizeSetting(f *testing.F) {
	for _, s := range []string{"128MB", "0x", "-", ".", "1e", "1e+", "08", "0.1 us", "9999999999999999999TB"} {
		f.Add(s, "8kB")
		f.Add(s, "min")
	}
	f.Fuzz(func(t *testing.T, s, unit string) {
		for _, typ := range []string{"integer", "real"} {
			set := Setting{Name: "x", Unit: unit, VarType: typ}
			v, err := NormalizeSetting(s, set)
			if err != nil {
				continue
			}
			set.Value = v
			if eq, err := EqualSetting(s, set); !eq || err != nil {
				t.Fatalf("%q in %q as %s: %q is not equal to itself: %v", s, unit, typ, v, err)
			}
		}
	})
}

func FuzzParseBool(f *testing.F) {
	f.Add("on")
	f.Fuzz(func(t *testing.T, s string) {
		if v, ok := ParseBool(s); !ok && v {
			t.Fatal("a value without ok")
		}
	})
}

func TestUnitsAreExact(t *testing.T) {
	if v, err := toBase(1, "TB", "8kB"); err != nil || v != math.Pow(2, 27) {
		t.Fatal(v, err)
	}
}
