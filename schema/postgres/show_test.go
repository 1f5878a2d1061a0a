package postgres

import "testing"

func TestShowSetting(t *testing.T) {
	for _, c := range []struct{ value, unit, want string }{
		{"4096", "8kB", "32MB"},
		{"16384", "8kB", "128MB"},
		{"4096", "kB", "4MB"},
		{"131072", "8kB", "1GB"},
		{"1", "8kB", "8kB"},
		{"64", "MB", "64MB"},
		{"64", "16MB", "1GB"},
		{"300", "s", "5min"},
		{"90", "s", "90s"},
		{"1440", "min", "1d"},
		{"1500", "ms", "1500ms"},
		{"-1", "8kB", "-1"},
		{"0", "ms", "0"},
		{"100", "", "100"},
		{"0.5", "ms", "0.5"},
		{"7", "bushels", "7 x bushels"},
	} {
		if got := ShowSetting(Setting{Value: c.value, Unit: c.unit}); got != c.want {
			t.Errorf("%s x %s: %s, want %s", c.value, c.unit, got, c.want)
		}
	}
}
