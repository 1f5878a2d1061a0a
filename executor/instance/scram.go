package instance

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"pg_manage/executor/scram"
)

// scramIterations is PostgreSQL's default of scram_iterations.
const scramIterations = 4096

// SCRAMVerifier makes of a password what PostgreSQL keeps of it, as password_encryption
// = scram-sha-256 would (RFC 5803; scram-common.c, scram_build_secret), so that the
// password itself never leaves this machine.
func SCRAMVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, scram.Prepare(password), salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("SCRAM verifier: %w", err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}
