package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Secret is a client secret as kept: never the secret itself.
type Secret struct {
	// ID names the secret. A generated secret contains its ID, so only one of several
	// is ever tried.
	ID string `json:"secret_id"`

	// Hash is "sha256:" and hex for a generated secret, which has 256 random
	// bits and needs no slow hash. It is $argon2id$… or $2b$… (bcrypt) for an
	// imported one, which a person chose.
	Hash string `json:"hash"`

	Label      string    `json:"label,omitempty"`
	CreatedAt  time.Time `json:"created_at,omitzero"`   // set by the store
	ExpiresAt  time.Time `json:"expires_at,omitzero"`   // zero = never
	LastUsedAt time.Time `json:"last_used_at,omitzero"` // set by the store, up to a minute late
}

// A generated secret is m2m_<id>_<secret>_<checksum>, all in lower case base32. It
// needs no escaping anywhere, scanners of repositories recognise it, and a mistyped one
// costs no query.
const (
	secretPrefix = "m2m_"
	idLen        = 16 // 80 bits
	randomLen    = 52 // 256 bits
	checksumLen  = 7  // CRC-32
	secretLen    = len(secretPrefix) + idLen + 1 + randomLen + 1 + checksumLen
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// GenerateSecret returns a new client secret, and what to keep of it. Show the first
// result to its owner once and store it nowhere. Put the second into [Client].Secrets.
func GenerateSecret() (string, Secret) {
	random := make([]byte, 10+32)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	plain := secretPrefix + lowerBase32.EncodeToString(random[:10]) + "_" + lowerBase32.EncodeToString(random[10:]) + "_"
	plain += checksum(plain)
	id, _ := SecretID(plain)
	return plain, Secret{ID: id, Hash: fastHash(plain)}
}

// checksum is CRC-32 (IEEE) in base32.
func checksum(s string) string {
	var sum [4]byte
	var encoded [checksumLen]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(s)))
	lowerBase32.Encode(encoded[:], sum[:])
	return string(encoded[:])
}

// SecretID returns the id that a secret of [GenerateSecret] carries, and false for
// any other text.
func SecretID(secret string) (string, bool) {
	if len(secret) != secretLen || !strings.HasPrefix(secret, secretPrefix) {
		return "", false
	}
	body, sum := secret[:secretLen-checksumLen], secret[secretLen-checksumLen:]
	id := body[len(secretPrefix) : len(secretPrefix)+idLen]
	if body[len(secretPrefix)+idLen] != '_' || body[len(body)-1] != '_' || sum != checksum(body) {
		return "", false
	}
	return id, true
}

const fastPrefix = "sha256:"

func fastHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return fastPrefix + hex.EncodeToString(sum[:])
}

// Cost of the argon2id hashes made here: the second choice of RFC 9106 scaled
// as OWASP recommends, about 27 ms of one core.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
)

// HashSecret returns the [Secret] for a plain secret that a person chose: printable
// ASCII, at most 1024 characters. It uses argon2id, unless the secret has the form of
// [GenerateSecret], which needs no slow hash. An issuer grants tokens for chosen
// secrets only with Config.ImportedSecrets.
//
// Not checked: how hard the secret is to guess.
func HashSecret(plain string) (Secret, error) {
	if !ValidSecret(plain) {
		return Secret{}, invalid("Secret", "write 1 to %d characters of printable ASCII", maxSecret)
	}
	if id, ok := SecretID(plain); ok {
		return Secret{ID: id, Hash: fastHash(plain)}, nil
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	a := argonParams{memory: argonMemory, time: argonTime, lanes: argonLanes, salt: salt}
	a.sum = a.hash(plain, 32)
	return Secret{ID: newSecretID(), Hash: a.String()}, nil
}

// ImportSecret returns the [Secret] for a hash that another system made: argon2id in
// PHC form, or bcrypt ($2a$, $2b$, $2y$). It refuses hashes that cost more than 256
// MiB, 16 passes or bcrypt cost 14. bcrypt reads 72 bytes of a secret; a longer
// secret never matches here, because its end would not count.
//
// Refusing an unknown client takes as long as checking the imported hash that was
// checked last. With hashes of different costs, response times therefore reveal which ids
// exist. Give such clients new secrets over time, with [Manager].RotateSecret.
func ImportSecret(hash string) (Secret, error) {
	s := Secret{ID: newSecretID(), Hash: hash}
	if strings.HasPrefix(hash, fastPrefix) {
		return Secret{}, invalid("Secret.Hash", "a plain SHA-256 hash is too fast to protect a secret that a person chose: write argon2id or bcrypt")
	}
	if err := s.Validate(); err != nil {
		return Secret{}, err
	}
	return s, nil
}

func newSecretID() string {
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return lowerBase32.EncodeToString(random)
}

// Generated reports whether the secret was made by [GenerateSecret].
func (s *Secret) Generated() bool { return strings.HasPrefix(s.Hash, fastPrefix) }

// Expired reports whether the secret has expired at now.
func (s *Secret) Expired(now time.Time) bool {
	return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt)
}

// Validate returns what is wrong with the secret: an [*InvalidError]. A [Manager]
// calls it in AddSecret.
func (s *Secret) Validate() error {
	if s == nil {
		return invalid("Secret", "is nil")
	}
	if field, problem := s.problem(); problem != "" {
		return invalid("Secret"+field, "%s", problem)
	}
	return nil
}

// problem returns what is wrong, and with which field.
func (s *Secret) problem() (field, problem string) {
	switch {
	case s.ID == "":
		return ".ID", "is missing: make the secret with GenerateSecret, HashSecret or ImportSecret"
	case !isText(s.ID, maxText):
		return ".ID", fmt.Sprintf("write UTF-8 without NUL, at most %d bytes", maxText)
	case isDots(s.ID):
		return ".ID", "write something else than . or .., which the path of no URL can name"
	case !isText(s.Label, maxText):
		return ".Label", fmt.Sprintf("write UTF-8 without NUL, at most %d bytes", maxText)
	}
	if err := validateHash(s.Hash); err != nil {
		return ".Hash", err.Error()
	}
	return "", ""
}

func validateHash(hash string) error {
	switch {
	case strings.HasPrefix(hash, fastPrefix):
		sum, err := hex.DecodeString(hash[len(fastPrefix):])
		if err != nil || len(sum) != sha256.Size || hash != fastPrefix+hex.EncodeToString(sum) {
			return errors.New("the hash of a generated secret is damaged")
		}
	case strings.HasPrefix(hash, argonPrefix):
		a, err := parseArgon(hash)
		if err == nil && a.String() != hash {
			err = errArgonForm
		}
		return err
	default:
		// bcrypt.Cost asks for less than bcrypt itself can read.
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || !bcryptForm.MatchString(hash) {
			return errors.New("the hash has an unknown form: write what GenerateSecret, HashSecret or ImportSecret gives")
		}
		if cost > maxBcryptCost {
			return fmt.Errorf("bcrypt cost %d, more than %d", cost, maxBcryptCost)
		}
	}
	return nil
}

// matchesFast compares a secret with the hash of a generated one.
func (s *Secret) matchesFast(plain string) bool {
	sum := sha256.Sum256([]byte(plain))
	var encoded [2 * sha256.Size]byte
	hex.Encode(encoded[:], sum[:])
	kept := strings.TrimPrefix(s.Hash, fastPrefix)
	return subtle.ConstantTimeCompare(encoded[:], []byte(kept)) == 1
}

// matchesSlow compares a secret with the hash of an imported one. It costs tens
// of milliseconds of a core.
func (s *Secret) matchesSlow(plain string) bool {
	if !strings.HasPrefix(s.Hash, argonPrefix) {
		// The secret is cut before the hash, so that a long one costs no more.
		match := bcrypt.CompareHashAndPassword([]byte(s.Hash), []byte(plain[:min(len(plain), maxBcryptSecret)])) == nil
		return match && len(plain) <= maxBcryptSecret
	}
	a, err := parseArgon(s.Hash)
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(a.hash(plain, uint32(len(a.sum))), a.sum) == 1
}

const (
	maxBcryptSecret = 72
	maxBcryptCost   = 14
	argonPrefix     = "$argon2id$"
)

type argonParams struct {
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
}

func (a argonParams) hash(plain string, size uint32) []byte {
	return argon2.IDKey([]byte(plain), a.salt, a.time, a.memory, a.lanes, size)
}

func (a argonParams) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argonPrefix, argon2.Version, a.memory, a.time, a.lanes,
		b64.EncodeToString(a.salt), b64.EncodeToString(a.sum))
}

var (
	bcryptForm   = regexp.MustCompile(`^\$2[aby]\$\d{2}\$[./A-Za-z0-9]{53}$`)
	errArgonForm = errors.New("the argon2id hash is not in the form $argon2id$v=19$m=…,t=…,p=…$salt$hash")
)

// parseArgon reads the PHC string form of argon2id.
func parseArgon(hash string) (argonParams, error) {
	var a argonParams
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return a, errArgonForm
	}
	if n, err := fmt.Sscanf(parts[3]+"$", "m=%d,t=%d,p=%d$", &a.memory, &a.time, &a.lanes); err != nil || n != 3 {
		return a, errArgonForm
	}
	var err1, err2 error
	a.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	a.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil {
		return a, errArgonForm
	}
	if a.memory < 8*uint32(a.lanes) || a.memory > 256<<10 || a.time < 1 || a.time > 16 || a.lanes < 1 || a.lanes > 16 ||
		len(a.salt) < 8 || len(a.salt) > 64 || len(a.sum) < 16 || len(a.sum) > 64 {
		return a, errors.New("the argon2id hash has parameters outside 8·p KiB ≤ m ≤ 256 MiB, 1 ≤ t ≤ 16, 1 ≤ p ≤ 16, salt 8 to 64 bytes, hash 16 to 64")
	}
	return a, nil
}

// Matches reports whether plain is the secret. It takes as long as the hash does. The
// number of calls at once is not bounded.
//
// Not checked: ExpiresAt.
func (s *Secret) Matches(plain string) bool {
	if s.Generated() {
		return s.matchesFast(plain)
	}
	return s.matchesSlow(plain)
}
