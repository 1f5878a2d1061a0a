package observe

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"

	"pg_manage/executor/scram"
)

// maxIterations bounds the work that a verifier can ask of us (scram_iterations is at most 2^31-1).
const maxIterations = 10_000_000

// scramMatches says whether a verifier as pg_authid.rolpassword keeps it,
// "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey" (RFC 5803), was made of the
// password. Any other kind of verifier, such as md5, does not match.
func scramMatches(password, verifier string) bool {
	rest, ok := strings.CutPrefix(verifier, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	head, keys, ok1 := strings.Cut(rest, "$")
	count, salt64, ok2 := strings.Cut(head, ":")
	stored64, _, ok3 := strings.Cut(keys, ":")
	iterations, err1 := strconv.Atoi(count)
	salt, err2 := base64.StdEncoding.DecodeString(salt64)
	stored, err3 := base64.StdEncoding.DecodeString(stored64)
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || err3 != nil || iterations < 1 || iterations > maxIterations {
		return false
	}
	salted, err := pbkdf2.Key(sha256.New, scram.Prepare(password), salt, iterations, sha256.Size)
	if err != nil {
		return false
	}
	m := hmac.New(sha256.New, salted)
	m.Write([]byte("Client Key"))
	key := sha256.Sum256(m.Sum(nil))
	return subtle.ConstantTimeCompare(key[:], stored) == 1
}
