package iscsi

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"hash"
	"strconv"
	"strings"
)

// A chapAlgorithm is a number of the registry of PPP authentication algorithms that
// iSCSI names (RFC 7143, 12.1.3, and IANA for the others).
type chapAlgorithm uint32

const (
	chapMD5     chapAlgorithm = 5
	chapSHA1    chapAlgorithm = 6
	chapSHA256  chapAlgorithm = 7
	chapSHA3256 chapAlgorithm = 8
)

// chapPreference is what an initiator offers. Targets take the first that they know. MD5
// stands before SHA-256, since tgt takes the number of that for SHA-1, and fails.
var chapPreference = []chapAlgorithm{chapSHA3256, chapMD5, chapSHA1, chapSHA256}

func (a chapAlgorithm) hash() hash.Hash {
	switch a {
	case chapMD5:
		return md5.New()
	case chapSHA1:
		return sha1.New()
	case chapSHA256:
		return sha256.New()
	case chapSHA3256:
		return sha3.New256()
	}
	return nil
}

// chapChallenge is how long challenges of this side are: as long as the longest
// digest.
const chapChallenge = 32

// Names and secrets of CHAP (RFC 7143, 12.1.3). Secrets below 96 bits would need
// IPsec.
const (
	minSecret = 12
	maxSecret = 255
)

// response is the digest that proves the secret (RFC 1994, 4.1).
func (a chapAlgorithm) response(id byte, secret string, challenge []byte) []byte {
	h := a.hash()
	h.Write([]byte{id})
	h.Write([]byte(secret))
	h.Write(challenge)
	return h.Sum(nil)
}

// verify says whether response proves the secret.
func (a chapAlgorithm) verify(response []byte, id byte, secret string, challenge []byte) bool {
	return subtle.ConstantTimeCompare(response, a.response(id, secret, challenge)) == 1
}

// chooseCHAP is the first algorithm of the list CHAP_A that this side has.
func chooseCHAP(list string) (chapAlgorithm, bool) {
	for v := range strings.SplitSeq(list, ",") {
		if n, ok := parseNumber(v); ok && chapAlgorithm(n).hash() != nil {
			return chapAlgorithm(n), true
		}
	}
	return 0, false
}

// A chapProof is what one side asks and the other answers: CHAP_I and CHAP_C.
type chapProof struct {
	id        byte
	challenge []byte
}

func newProof(random func([]byte)) chapProof {
	b := make([]byte, 1+chapChallenge)
	random(b)
	return chapProof{b[0], b[1:]}
}

func (p chapProof) pairs() []pair {
	return []pair{{"CHAP_I", strconv.Itoa(int(p.id))}, {"CHAP_C", formatBinary(p.challenge)}}
}

// parseProof reads CHAP_I and CHAP_C.
func parseProof(id, challenge string) (p chapProof, ok bool) {
	n, ok := parseNumber(id)
	if !ok || n > 255 {
		return p, false
	}
	p.id = byte(n)
	p.challenge, ok = parseBinary(challenge)
	return p, ok
}

// equal says whether somebody asks what this side has asked: to answer it would
// prove somebody else's secret for him (RFC 7143, 12.1.3: reflection).
func (p chapProof) equal(q chapProof) bool {
	return subtle.ConstantTimeCompare(p.challenge, q.challenge) == 1
}
