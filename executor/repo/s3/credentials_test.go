package s3

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEndpoints(t *testing.T) {
	for s, want := range map[string]string{
		"": "s3.amazonaws.com", "minio.example": "minio.example", "minio.example:9000": "minio.example:9000", "https://h:1/": "h:1",
		"http://127.0.0.1:9": "127.0.0.1:9", "http://[::1]:9": "[::1]:9", "http://localhost": "localhost",
		"http://10.0.0.1": "", "http://example": "", "ftp://h": "", "https://u:p@h": "", "h/path": "", "https://": "", "http://127.0.0.1.example": "",
	} {
		host, secure, err := endpoint(s, false)
		if host != want || (err == nil) != (want != "") || secure != (want != "" && !strings.HasPrefix(s, "http://")) {
			t.Errorf("%q: %q, %v, %v", s, host, secure, err)
		}
	}
	if _, _, err := endpoint("http://10.0.0.1", true); err != nil {
		t.Error(err)
	}
}

func TestWhereKeysComeFrom(t *testing.T) {
	s := newServer(t)
	o := s.options(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE"} {
		t.Setenv(v, "")
	}
	// A cloud's service that isn't there: its keys are asked for when they are needed.
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.metadata = "http://" + dead.Addr().String()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key := func(o Options) (string, error) {
		tr := &http.Client{Timeout: 5 * time.Second}
		c, err := newCredentials(o, tr)
		if err != nil {
			return "", err
		}
		v, err := c.GetWithContext(nil)
		return v.AccessKeyID, err
	}
	none := o
	none.CredentialsFile = ""
	if got, err := key(none); err == nil {
		t.Errorf("from nowhere: %q", got)
	}
	everythingOnce := open(t, none)
	_, err = everythingOnce.Stat(t.Context(), "a")
	mustBeUnknown(t, "no keys", err)

	aws := "[default]\naws_access_key_id = ONE\naws_secret_access_key = " + secret + "\n[other]\naws_access_key_id = TWO\naws_secret_access_key = " + secret + "\n[half]\naws_access_key_id = HALF\n[empty]\n"
	declared := o
	declared.CredentialsFile = write("declared", aws, 0o600)
	write(".aws/credentials", strings.ReplaceAll(aws, "ONE", "USUAL"), 0o600)
	mc := o
	mc.CredentialsFile = write("config.json", `{"version":"10","aliases":{"nas":{"url":"x","accessKey":"MINIO","secretKey":"`+secret+`","api":"S3v4"}}}`, 0o600)
	mc.Profile = "nas"
	for want, o := range map[string]Options{"ONE": declared, "USUAL": none, "MINIO": mc, "TWO": with(declared, "other")} {
		if got, err := key(o); got != want || err != nil {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "ENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	if got, err := key(none); got != "ENV" || err != nil {
		t.Errorf("the environment: %q, %v", got, err)
	}
	if got, err := key(declared); got != "ONE" || err != nil {
		t.Errorf("a declared file beside the environment: %q, %v", got, err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	for what, o := range map[string]Options{
		"half a key": with(declared, "half"), "no key": with(declared, "empty"), "no profile": with(declared, "missing"),
		"no file": {CredentialsFile: filepath.Join(home, "none")}, "an open file": {CredentialsFile: write("open", aws, 0o644)},
		"another kind": {CredentialsFile: write("kind", "["+secret, 0o600)}, "no alias": with(mc, "missing"),
	} {
		if what == "an open file" {
			if err := os.Chmod(o.CredentialsFile, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := key(o)
		if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "credentials_file") {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

func with(o Options, profile string) Options {
	o.Profile = profile
	return o
}

func TestAChangedFileOfKeysIsReadAgain(t *testing.T) {
	s := newServer(t)
	o := s.options(t)
	c, err := newCredentials(o, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.CredentialsFile, []byte("[default]\naws_access_key_id = NEW\naws_secret_access_key = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(o.CredentialsFile, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != "NEW" {
		t.Errorf("got %q, %v", v.AccessKeyID, err)
	}
}
