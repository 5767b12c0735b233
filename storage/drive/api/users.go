package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

func dirOf(name string) string { return filepath.Dir(name) }

// LoadUsers reads a file of users. If there is none it makes one with the user admin, who
// may do everything, and returns his password, which nobody learns again.
func LoadUsers(file string) (users []User, password string, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		password = rand.Text()
		if err := SetPassword(file, "admin", Upload, password); err != nil {
			return nil, "", err
		}
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, "", err
	}
	users, err = ParseUsers(bytes.NewReader(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return users, password, err
}

// SetPassword sets the password and the role of a user in a file of users.
func SetPassword(file, name string, role Role, password string) error {
	if len(password) > 72 || !validPassword(password) { // bcrypt takes no more
		return errors.New("a password has at most 72 characters, of ASCII")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	return setLine(file, "user", name, role, string(hash))
}

// NewToken gives a user of a file a token in place of his last one, and returns it.
func NewToken(file, name string, role Role) (string, error) {
	raw := make([]byte, 32)
	rand.Read(raw)
	token := hex.EncodeToString(raw)
	return token, setLine(file, "token", name, role, hashToken(token))
}

// ParseRole is the role of a name.
func ParseRole(name string) (Role, error) {
	for role := View; role <= Upload; role++ {
		if role.String() == name {
			return role, nil
		}
	}
	return Nobody, fmt.Errorf("there is no role %q: want view, operate or upload", name)
}

// setLine replaces what a file says of a user, or adds it.
func setLine(file, kind, name string, role Role, secret string) error {
	if _, err := parseUser([]string{kind, name, role.String(), secret}); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte("# Who may use the drive: user NAME ROLE BCRYPT, or token NAME ROLE SHA256.\n# Roles: view; operate, which is connect too; upload, which is everything.\n")
	} else if err != nil {
		return err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == kind && f[1] == name {
			continue
		}
		kept.WriteString(line)
	}
	fmt.Fprintf(&kept, "%s %s %s %s\n", kind, name, role, secret)
	return replaceFile(file, []byte(kept.String()))
}
