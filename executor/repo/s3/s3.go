// Package s3 keeps a backup target in a bucket of an S3 server.
//
// An object is stored by one request with "If-None-Match: *", which the server grants
// only when the name is free, so that nothing is ever overwritten. A server that
// does not know this condition would overwrite all the same: therefore the first Put
// of a connection tries it out, and a server that fails is not used. S3 answers
// once an object is durable, and shows it whole or not at all.
//
// S3 has no directories. A directory is there when something is in it.
package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"pg_manage/executor/repo/storage"
)

// Options say where a bucket is and how it is reached.
type Options struct {
	Label  string // how messages call the target
	Bucket string
	Prefix string // what all names begin with, "" or like a directory's name
	// Endpoint is the server's host[:port], with "https://" or nothing before it; "" is
	// s3.amazonaws.com. "http://" is for servers on this machine, and others when
	// Insecure is set.
	Endpoint string
	Insecure bool   // take "http://" for any host: all that is stored and read can be seen and changed on the way
	Region   string // "": $AWS_REGION, or what the server says
	// PathStyle puts the bucket's name into the path. Otherwise Amazon's servers have it
	// in the host name, and all others in the path.
	PathStyle bool
	CAFile    string // certificates in PEM form that may vouch for the server, beside the system's
	// CredentialsFile is of AWS's form (~/.aws/credentials) or of MinIO's (mc's config.json).
	// "" takes the environment ($AWS_ACCESS_KEY_ID and so on), then ~/.aws/credentials, then the
	// role of the cloud's machine.
	CredentialsFile string
	Profile         string // in the file: AWS's profile or MinIO's alias

	metadata string // the URL of a cloud's service for its machines, in tests alone
}

// partSize is what is sent by one request at most, in bytes, and held in memory meanwhile.
const partSize = 64 << 20

// maxRetries is how often a request is sent at most.
const maxRetries = 3

// Store is a bucket, or a part of one, that holds a backup target.
type Store struct {
	o         Options
	prefix    string // with a slash at its end, or ""
	client    *minio.Client
	core      minio.Core
	transport *http.Transport
	buffers   sync.Pool // of *bytes.Buffer
	single    int64     // partSize
	once      conditions
}

var _ storage.Driver = (*Store)(nil)

// New gives the store in a bucket. It sends nothing: the first request shows whether the
// bucket is there.
func New(_ context.Context, o Options) (*Store, error) {
	fail := func(err error) (*Store, error) { return nil, fmt.Errorf("%s: %w", o.Label, err) }
	host, secure, err := endpoint(o.Endpoint, o.Insecure)
	if err != nil {
		return fail(err)
	}
	prefix := strings.Trim(o.Prefix, "/")
	if err := storage.CheckDir(prefix); err != nil {
		return fail(err)
	}
	tr, err := transport(o.CAFile)
	if err != nil {
		return fail(err)
	}
	creds, err := newCredentials(o, &http.Client{Transport: tr, Timeout: 10 * time.Second})
	if err != nil {
		return fail(err)
	}
	lookup := minio.BucketLookupAuto
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	amazon := host == amazonHost || strings.HasSuffix(host, ".amazonaws.com")
	region := o.Region
	if region == "" {
		region = os.Getenv("AWS_REGION")
	}
	if region == "" && !amazon {
		region = "us-east-1" // which most servers expect, and few look at
	}
	client, err := minio.New(host, &minio.Options{
		Creds: creds, Secure: secure, Transport: tr, Region: region, BucketLookup: lookup, MaxRetries: maxRetries,
	})
	if err != nil {
		return fail(err)
	}
	if prefix != "" {
		prefix += "/"
	}
	return &Store{o: o, prefix: prefix, client: client, core: minio.Core{Client: client}, transport: tr, single: partSize, once: newConditions()}, nil
}

const amazonHost = "s3.amazonaws.com"

// endpoint takes a server's address apart.
func endpoint(s string, insecure bool) (host string, secure bool, err error) {
	if s == "" {
		return amazonHost, true, nil
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, errors.New("the endpoint is not of the form HOST, HOST:PORT or https://HOST:PORT")
	}
	switch u.Scheme {
	case "https":
		return u.Host, true, nil
	case "http":
		addr, err := netip.ParseAddr(u.Hostname())
		if loopback := u.Hostname() == "localhost" || err == nil && addr.IsLoopback(); !loopback && !insecure {
			return "", false, fmt.Errorf("the endpoint http://%s has no encryption on the way: use https", u.Host)
		}
		return u.Host, false, nil
	}
	return "", false, fmt.Errorf("the endpoint's scheme %q is neither https nor http", u.Scheme)
}

// transport is http's with time limits; the library's own takes 26 to 46 ms to make.
func transport(caFile string) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file %s: it holds no certificate in PEM form", caFile)
		}
		conf.RootCAs = pool
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       conf,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   16,
		DisableCompression:    true, // what is stored with a Content-Encoding must come as it is
	}, nil
}

func (s *Store) String() string { return s.o.Label }

// Close ends the connections that are idle.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

func (s *Store) key(name string) string { return s.prefix + name }

// dirKey is what the keys in a directory begin with.
func (s *Store) dirKey(dir string) string {
	if dir == "" {
		return s.prefix
	}
	return s.prefix + dir + "/"
}

// fail says what was tried where.
func (s *Store) fail(ctx context.Context, op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrExists), errors.Is(err, storage.ErrNotExist):
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = explain(err)
	}
	return fmt.Errorf("%s: %s %s: %w", s.o.Label, op, name, err)
}

// code is the server's word for what went wrong; "" when it is not the server that spoke.
func code(err error) string {
	var resp minio.ErrorResponse
	errors.As(err, &resp)
	return resp.Code
}

// explain puts the server's code before its message, which alone says little, and
// keeps what a server, or something in its place, says within bounds.
func explain(err error) error {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return err
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, resp.Error())
	if len(text) > 300 {
		text = text[:300] + "..."
	}
	return &serverError{resp, fmt.Sprintf("the server says %s (%d): %s", resp.Code, resp.StatusCode, text)}
}

type serverError struct {
	resp minio.ErrorResponse
	text string
}

func (e *serverError) Error() string { return e.text }

func (e *serverError) Unwrap() error { return e.resp }
