package s3

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/remote/remotetest"
	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

// realServer builds and runs an S3 server that others use in earnest, over a directory,
// and gives options that reach it, and the directory.
func realServer(t *testing.T) (Options, string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "versitygw")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../../../testdata/s3server", "-o", program, "github.com/versity/versitygw/cmd/versitygw")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the S3 server: %v: %s", err, out)
	}
	for _, d := range []string{"root", "root/" + bucket, "meta"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certificate(t, dir)
	addr := fmt.Sprintf("127.0.0.1:%d", remotetest.FreePort(t))
	var log bytes.Buffer
	cmd := exec.Command(program, "--port", addr, "--cert", cert, "--key", key, "--quiet", "posix", "--sidecar", dir+"/meta", dir+"/root")
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID=ACCESS", "ROOT_SECRET_ACCESS_KEY="+secret)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err == nil {
			<-ended
		}
	})
	keys := filepath.Join(dir, "credentials")
	if err := os.WriteFile(keys, []byte("[default]\naws_access_key_id = ACCESS\naws_secret_access_key = "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
		select {
		case <-ended:
			t.Fatalf("the S3 server ended: %s", log.String())
		case <-deadline:
			t.Fatalf("the S3 server does not answer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return Options{Label: "s3://" + bucket + "/pre", Bucket: bucket, Prefix: "pre", Endpoint: addr, CAFile: cert, CredentialsFile: keys}, filepath.Join(dir, "root", bucket)
}

// certificate makes a key, and a certificate of 127.0.0.1 for it.
func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	conf := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err1 := x509.CreateCertificate(rand.Reader, conf, conf, key.Public(), key)
	der, err2 := x509.MarshalPKCS8PrivateKey(key)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err3 := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600)
	err4 := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// TestRealServer runs the contract on a server that is used in earnest. Building it takes
// minutes the first time.
func TestRealServer(t *testing.T) {
	o, root := realServer(t)
	t.Run("Conformance", func(t *testing.T) {
		repotest.RunWith(t, repotest.Options{Flat: true}, func(t *testing.T) storage.Driver { return open(t, o) })
	})
	t.Run("WrongKeys", func(t *testing.T) {
		for _, text := range []string{"ACCESS\naws_secret_access_key = WRONG", "WRONG\naws_secret_access_key = " + secret} {
			o := o
			o.CredentialsFile = filepath.Join(t.TempDir(), "wrong")
			if err := os.WriteFile(o.CredentialsFile, []byte("[default]\naws_access_key_id = "+text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			everything(t, "wrong keys", open(t, o))
		}
	})
	t.Run("MissingBucket", func(t *testing.T) {
		o := o
		o.Bucket = "missing"
		everything(t, "a missing bucket", open(t, o))
	})
	t.Run("Damage", func(t *testing.T) {
		d := open(t, o)
		if err := d.Put(t.Context(), "damaged", bytes.NewReader(make([]byte, 100_000))); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(root, "pre", "damaged"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte("x"), 50_000)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		r, err := d.Open(t.Context(), "damaged")
		if err == nil {
			_, err = r.Read(make([]byte, 1))
			for err == nil {
				_, err = r.Read(make([]byte, 64<<10))
			}
		}
		mustBeUnknown(t, "reading", err)
		if err == nil || err.Error() == "EOF" || !strings.Contains(err.Error(), "damage") && !strings.Contains(err.Error(), "checksum") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("LargeObject", func(t *testing.T) {
		d := open(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		content := bytes.Repeat([]byte("0123456789abcdef"), (partSize+5<<20)/16)
		if err := d.Put(ctx, "large", bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		if err := d.Put(ctx, "large", bytes.NewReader(content)); !errors.Is(err, storage.ErrExists) {
			t.Errorf("again: %v", err)
		}
		r, err := d.Open(ctx, "large")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(content), err)
		}
		for u := range d.client.ListIncompleteUploads(ctx, bucket, "", true) {
			t.Errorf("an upload is left: %+v", u)
		}
	})
}
