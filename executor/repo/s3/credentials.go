package s3

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"pg_manage/executor/repo/secretfile"
)

// newCredentials finds where the keys come from: the declared file alone, or else the
// environment, the usual file, and the role of the cloud's machine, the first that there is.
func newCredentials(o Options, client *http.Client) (*credentials.Credentials, error) {
	file := o.CredentialsFile
	if file == "" && os.Getenv("AWS_ACCESS_KEY_ID") != "" {
		return checked(&credentials.EnvAWS{})
	}
	if file == "" {
		usual, err := usualFile()
		if err != nil {
			return nil, err
		}
		if usual == "" && o.Profile == "" {
			return credentials.New(&provider{Provider: &credentials.IAM{Client: client, Endpoint: o.metadata}}), nil
		}
		if usual == "" {
			return nil, fmt.Errorf("there is no credentials file with the profile %q: set credentials_file", o.Profile)
		}
		file = usual
	}
	return checked(&fileProvider{file: file, profile: o.Profile})
}

// usualFile is AWS's credentials file; "" when there is none.
func usualFile() (string, error) {
	if file := os.Getenv("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		return file, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", nil //nolint:nilerr // without a home there is no file in it
	}
	file := filepath.Join(home, ".aws", "credentials")
	_, err = os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return file, err
}

// checked makes sure now that keys which lie on this machine can be had.
func checked(p credentials.Provider) (*credentials.Credentials, error) {
	c := credentials.New(&provider{Provider: p})
	_, err := c.GetWithContext(nil)
	return c, err
}

// provider makes an error of empty keys: the library would go on without signing.
type provider struct{ credentials.Provider }

func (p *provider) Retrieve() (credentials.Value, error) { return p.RetrieveWithCredContext(nil) }

func (p *provider) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := p.Provider.RetrieveWithCredContext(cc)
	switch {
	case err != nil:
		return credentials.Value{}, fmt.Errorf("getting the keys: %w", err)
	case v.AccessKeyID == "" || v.SecretAccessKey == "":
		return credentials.Value{}, errors.New("there are no keys: set credentials_file, or $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY")
	}
	return v, nil
}

// fileProvider reads keys from a file, again when it has changed.
type fileProvider struct {
	file, profile string

	mu      sync.Mutex
	current credentials.Provider
	changed time.Time
}

func (p *fileProvider) Retrieve() (credentials.Value, error) { return p.RetrieveWithCredContext(nil) }

func (p *fileProvider) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fail := func(err error) (credentials.Value, error) {
		return credentials.Value{}, fmt.Errorf("credentials_file %s: %w", p.file, err)
	}
	st, err := os.Stat(p.file)
	if err != nil {
		return fail(err)
	}
	text, err := secretfile.Read(p.file)
	if err != nil {
		return fail(err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		p.current = &credentials.FileMinioClient{Filename: p.file, Alias: p.profile}
	} else {
		p.current = &credentials.FileAWSCredentials{Filename: p.file, Profile: p.profile}
	}
	v, err := p.current.RetrieveWithCredContext(cc)
	if err != nil {
		// The parsers' errors quote lines of the file.
		return fail(errors.New("it can't be read as AWS's credentials file or MinIO's config.json, or has no such profile"))
	}
	if v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return fail(errors.New("its profile has no keys"))
	}
	p.changed = st.ModTime()
	return v, nil
}

func (p *fileProvider) IsExpired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || p.current.IsExpired() {
		return true
	}
	st, err := os.Stat(p.file)
	return err == nil && !st.ModTime().Equal(p.changed)
}
