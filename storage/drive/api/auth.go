package api

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// A User is somebody who may make calls, by a password or by a token.
type User struct {
	Name string
	Role Role
	// Password is the bcrypt hash of a password; empty for a token.
	Password string
	// Token is the SHA-256 of a token, in hexadecimal. Tokens are long and random, so a
	// fast hash suffices.
	Token string
}

// ParseUsers reads a file of users: lines of
//
//	user NAME ROLE BCRYPT
//	token NAME ROLE SHA256
//
// with roles view, operate and upload. Empty lines and lines that begin with # say nothing.
func ParseUsers(r io.Reader) ([]User, error) {
	var users []User
	scanner := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseUser(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		users = append(users, u)
	}
	return users, scanner.Err()
}

func parseUser(f []string) (User, error) {
	if len(f) != 4 || f[0] != "user" && f[0] != "token" {
		return User{}, fmt.Errorf("want user NAME ROLE BCRYPT, or token NAME ROLE SHA256")
	}
	role, err := ParseRole(f[2])
	if err != nil {
		return User{}, err
	}
	u := User{Name: f[1], Role: role}
	switch {
	case !validUser(u.Name):
		return User{}, fmt.Errorf("%q is no user name: want small letters, digits and @._-, a letter first", u.Name)
	case f[0] == "user":
		if _, err := bcrypt.Cost([]byte(f[3])); err != nil {
			return User{}, err
		}
		u.Password = f[3]
	default:
		if b, err := hex.DecodeString(f[3]); err != nil || len(b) != sha256.Size {
			return User{}, fmt.Errorf("want the SHA-256 of a token in hexadecimal")
		}
		u.Token = strings.ToLower(f[3])
	}
	return u, nil
}

func validUser(name string) bool {
	return len(name) <= 128 && regexp.MustCompile(`^[a-z_]([a-z0-9@._-]*[a-z0-9_-])?$`).MatchString(name)
}

// Bounds of authentication.
const (
	maxSessions  = 1024            // of all users; for one more the oldest ends
	maxVerified  = 256             // passwords that were checked lately
	verifiedFor  = time.Minute     // a changed password may be used so long
	maxFailures  = 8               // wrong passwords from one address in failuresIn
	failuresIn   = time.Minute     //
	maxAddresses = 4096            // from which wrong passwords came
	maxHashing   = 2               // passwords that are checked at a time
	hashingWait  = 5 * time.Second // for one's turn
	sessionAge   = 30 * 24 * time.Hour
)

// An Auth knows who may do what. Its methods may be called at the same time.
type Auth struct {
	users   map[string]User // with passwords, by name
	tokens  map[string]User // by hash
	key     []byte          // of the hashes of verified passwords
	hashing chan struct{}   // has one in it for each password that is being checked
	state   chan *authState // holds the state while nobody does
	now     func() time.Time
}

type authState struct {
	sessions map[string]session      // by the hash of their token
	verified map[[32]byte]time.Time  // until when
	failures map[netip.Prefix]misses // by address
}

type session struct {
	user    string
	began   time.Time
	expires time.Time
}

type misses struct {
	n     int
	since time.Time
}

// NewAuth makes one of users.
func NewAuth(users []User) *Auth {
	a := &Auth{users: map[string]User{}, tokens: map[string]User{}, key: make([]byte, 32), hashing: make(chan struct{}, maxHashing), state: make(chan *authState, 1), now: time.Now}
	rand.Read(a.key)
	for _, u := range users {
		if u.Token != "" {
			a.tokens[u.Token] = u
		} else {
			a.users[u.Name] = u
		}
	}
	a.state <- &authState{sessions: map[string]session{}, verified: map[[32]byte]time.Time{}, failures: map[netip.Prefix]misses{}}
	return a
}

// at has f own the state.
func (a *Auth) at(f func(s *authState)) {
	s := <-a.state
	defer func() { a.state <- s }()
	f(s)
}

var errTooMany = &httpError{"TooManyRequestsError", "Too many wrong passwords came from this address, try again in a minute", http.StatusTooManyRequests}

// password checks a password.
func (a *Auth) password(ctx context.Context, from netip.Prefix, name, password string) (User, error) {
	u, known := a.users[name]
	mac := hmac.New(sha256.New, a.key)
	fmt.Fprintf(mac, "%d %s %s %s", len(name), name, u.Password, password)
	var id [32]byte
	mac.Sum(id[:0])
	var lately, tooMany bool
	look := func() {
		a.at(func(s *authState) {
			lately = a.now().Before(s.verified[id])
			f := s.failures[from]
			tooMany = f.n >= maxFailures && a.now().Sub(f.since) < failuresIn
		})
	}
	if look(); !lately && !tooMany {
		wait, stop := context.WithTimeout(ctx, hashingWait)
		defer stop()
		select {
		case a.hashing <- struct{}{}:
			defer func() { <-a.hashing }()
		case <-wait.Done():
			return User{}, errUnavailable
		}
		look() // of many requests that come at once, one is the first
	}
	switch {
	case lately:
		return u, nil
	case tooMany:
		return User{}, errTooMany
	}
	hash := u.Password
	if !known { // takes as long, so that one does not learn who there is
		hash = "$2a$10$JJnC0PHRs6AIvmUYzYyJfODzU9wD4wfYvFH1sDzxrGGvBXNlvwc5m"
	}
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	if err != nil || !known {
		a.at(func(s *authState) { s.fail(from, a.now()) })
		return User{}, errForbidden
	}
	a.at(func(s *authState) {
		if len(s.verified) >= maxVerified {
			clear(s.verified)
		}
		s.verified[id] = a.now().Add(verifiedFor)
	})
	return u, nil
}

// fail counts a wrong password.
func (s *authState) fail(from netip.Prefix, now time.Time) {
	f := s.failures[from]
	if now.Sub(f.since) >= failuresIn {
		f = misses{since: now}
	}
	f.n++
	if len(s.failures) >= maxAddresses {
		for a, f := range s.failures {
			if now.Sub(f.since) >= failuresIn {
				delete(s.failures, a)
			}
		}
		if len(s.failures) >= maxAddresses {
			clear(s.failures)
		}
	}
	s.failures[from] = f
}

// login begins a session and returns its token.
func (a *Auth) login(u User, expire time.Duration) string {
	if expire <= 0 || expire > sessionAge {
		expire = sessionAge
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	token := hex.EncodeToString(raw)
	now := a.now()
	a.at(func(s *authState) {
		oldest := ""
		for id, o := range s.sessions {
			if !now.Before(o.expires) {
				delete(s.sessions, id)
			} else if oldest == "" || o.began.Before(s.sessions[oldest].began) {
				oldest = id
			}
		}
		if len(s.sessions) >= maxSessions {
			delete(s.sessions, oldest)
		}
		s.sessions[hashToken(token)] = session{user: u.Name, began: now, expires: now.Add(expire)}
	})
	return token
}

// session finds whose session it is.
func (a *Auth) session(token string) (u User, ok bool) {
	a.at(func(s *authState) {
		if o, there := s.sessions[hashToken(token)]; there && a.now().Before(o.expires) {
			u, ok = a.users[o.user]
		}
	})
	return u, ok
}

// logout ends all sessions of a user.
func (a *Auth) logout(name string) {
	a.at(func(s *authState) {
		for id, o := range s.sessions {
			if o.user == name {
				delete(s.sessions, id)
			}
		}
	})
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// cookieName is PiKVM's.
const cookieName = "auth_token"

// identify finds who makes a request, in PiKVM's order: its own headers, the cookie of a
// session, HTTP's authentication.
func (a *Auth) identify(r *http.Request) (User, error) {
	from := addressOf(r)
	if name := strings.TrimSpace(r.Header.Get("X-KVMD-User")); name != "" {
		return a.given(r, from, "X-KVMD-User", name, r.Header.Get("X-KVMD-Passwd"))
	}
	if c, err := r.Cookie(cookieName); err == nil && c.Value != "" {
		if !validToken(c.Value) {
			return User{}, badField("auth_token", "the cookie is not a token of a session")
		}
		if u, ok := a.session(c.Value); ok {
			return u, nil
		}
		return User{}, errForbidden
	}
	header := r.Header.Get("Authorization")
	if scheme, token, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		id := hashToken(strings.TrimSpace(token))
		if u, ok := a.tokens[id]; ok && subtle.ConstantTimeCompare([]byte(u.Token), []byte(id)) == 1 {
			return u, nil
		}
		return User{}, errForbidden
	}
	if name, password, ok := r.BasicAuth(); ok {
		return a.given(r, from, "Authorization", name, password)
	}
	return User{}, errUnauthorized
}

// given checks a name and a password that came with a request.
func (a *Auth) given(r *http.Request, from netip.Prefix, field, name, password string) (User, error) {
	switch {
	case !validUser(name):
		return User{}, badField(field, "this is not a user name")
	case !validPassword(password):
		return User{}, badField(field, "the password has characters that passwords have not")
	}
	return a.password(r.Context(), from, name, password)
}

func validPassword(s string) bool {
	return len(s) <= 512 && strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) < 0
}

func validToken(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && strings.ToLower(s) == s
}

// addressOf is from where a request comes: of IPv6 the network, since one host has many
// addresses.
func addressOf(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}
