package iscsi

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// An Access grants the use of a target to those initiators that fit all of it. The
// first one of a target that fits counts.
type Access struct {
	// Initiator is the name of the initiator; any if it is empty.
	Initiator string
	// Networks has the initiator's address; any if it is empty.
	Networks []netip.Prefix
	// User and Secret are what the initiator proves by CHAP; without a User it need
	// not. A secret has from 12 to 255 bytes.
	User, Secret string
	// MutualUser and MutualSecret are what the target proves to an initiator that
	// asks it to. The secret must be another than the initiator's.
	MutualUser, MutualSecret string
	// LUNs are the logical units that are seen, by number, and what may be done with
	// them. All, as they are, if it is nil.
	LUNs map[int]scsi.Access
}

// fits says whether an initiator is meant, as far as its name and address say.
func (a *Access) fits(initiator string, address netip.Addr) bool {
	if a.Initiator != "" && !strings.EqualFold(a.Initiator, initiator) {
		return false
	}
	if len(a.Networks) == 0 {
		return true
	}
	address = address.Unmap()
	for _, n := range a.Networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}

// check says what is wrong with a grant.
func (a *Access) check() error {
	if a.Initiator != "" && !validName(strings.ToLower(a.Initiator)) {
		return fmt.Errorf("iscsi: %q is no name of an initiator", a.Initiator)
	}
	for _, c := range [][2]string{{a.User, a.Secret}, {a.MutualUser, a.MutualSecret}} {
		user, secret := c[0], c[1]
		switch {
		case user == "" && secret != "":
			return errors.New("iscsi: a CHAP secret without a name")
		case user == "":
		case len(user) > maxValueName || strings.ContainsRune(user, 0):
			return errors.New("iscsi: a CHAP name is too long or has a NUL")
		case len(secret) < minSecret || len(secret) > maxSecret:
			return fmt.Errorf("iscsi: the CHAP secret of %q does not have from %d to %d bytes", user, minSecret, maxSecret)
		}
	}
	switch {
	case a.MutualUser != "" && a.User == "":
		return errors.New("iscsi: the target cannot prove itself where the initiator does not")
	case a.MutualUser != "" && a.MutualSecret == a.Secret:
		return errors.New("iscsi: the CHAP secrets of both sides are the same")
	}
	return nil
}
