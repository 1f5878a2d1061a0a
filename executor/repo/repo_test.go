package repo

import "testing"

func TestATargetInABucketIsOpenedWithoutAskingItsServer(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "ACCESS")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	for want, target := range map[string]Target{
		"s3://backups/pre/fix": {Scheme: "s3", Host: "backups", Path: "pre/fix"},
		"s3://backups/":        {Scheme: "s3", Host: "backups", Endpoint: "127.0.0.1:9"},
	} {
		d, err := Open(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(t.Context(), Target{Scheme: "s3", Host: "backups", Endpoint: "http://10.0.0.1"}); err == nil {
		t.Error("a server without encryption was taken")
	}
}
