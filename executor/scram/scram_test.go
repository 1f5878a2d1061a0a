package scram

import "testing"

func TestPrepare(t *testing.T) {
	for in, want := range map[string]string{
		"pencil":       "pencil",
		"tab\tand\x07": "tab\tand\x07", // plain ASCII is not looked at
		"I\u00adX":     "IX",           // a soft hyphen is mapped to nothing
		"\u2168":       "IX",           // NFKC
		"a\u00a0b":     "a b",          // spaces become the space
		"u\u0308x":     "\u00fcx",      // composed
		"\u00fc\x07":   "\u00fc\x07",   // prohibited, so taken as it is
		"\u00ad":       "\u00ad",       // nothing would be left
		"\xff\xfe":     "\xff\xfe",     // no UTF-8
		"\u06271":      "\u06271",      // breaks the rules for text from right to left
	} {
		if got := Prepare(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
