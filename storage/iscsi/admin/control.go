package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Errors of what is named and is not there, or is there already.
var (
	ErrNotFound = errors.New("there is none")
	ErrExists   = errors.New("there is one already")
)

// A Control manages a server. Its methods may be called at the same time.
type Control interface {
	// Targets are what there is, by name, without secrets.
	Targets(ctx context.Context) ([]Target, error)
	// Create makes a target with its units: all of it or nothing.
	Create(ctx context.Context, t Target) error
	// Remove takes a target away. Its initiators are asked to log out.
	Remove(ctx context.Context, name string) error
	// AddLUN adds a unit to a target. Initiators learn of it.
	AddLUN(ctx context.Context, target string, lun int, l LUN) error
	// RemoveLUN takes a unit away, and closes its disk when nothing uses that any more.
	RemoveLUN(ctx context.Context, target string, lun int) error
	// Sessions are the sessions that there are, the oldest first.
	Sessions(ctx context.Context) ([]Session, error)
	// Stats are the counters of the server.
	Stats(ctx context.Context) (iscsi.Stats, error)
	// Reload reads the configuration again.
	Reload(ctx context.Context) error
}

// A Target is a target and its units.
type Target struct {
	Name   string      `json:"name"`
	Alias  string      `json:"alias,omitempty"`
	Groups []uint16    `json:"groups,omitempty"` // portal groups; all if it is empty
	Access []Access    `json:"access,omitempty"` // everyone if it is empty
	LUNs   map[int]LUN `json:"luns"`
}

// A LUN is a logical unit.
type LUN struct {
	// Disk is the disk with its options, see the package documentation.
	Disk string `json:"disk"`
	// Shared, if set, names the unit: those of the same name, in several targets, are
	// one, with one disk.
	Shared string `json:"shared,omitempty"`
	// Size is what the disk has, in bytes. It is told, and otherwise ignored.
	Size int64 `json:"size,omitempty"`
}

// An Access says who may use a target, as iscsi.Access does.
type Access struct {
	Initiator    string         `json:"initiator,omitempty"`
	Networks     []netip.Prefix `json:"networks,omitempty"`
	User         string         `json:"user,omitempty"`
	Secret       string         `json:"secret,omitempty"`
	MutualUser   string         `json:"mutualUser,omitempty"`
	MutualSecret string         `json:"mutualSecret,omitempty"`
	// LUNs are rw, ro or hidden by number; all rw if it is nil.
	LUNs map[int]string `json:"luns,omitempty"`
}

// access is a as package iscsi has it.
func (a *Access) access() (iscsi.Access, error) {
	out := iscsi.Access{
		Initiator: a.Initiator, Networks: a.Networks,
		User: a.User, Secret: a.Secret, MutualUser: a.MutualUser, MutualSecret: a.MutualSecret,
	}
	if a.LUNs == nil {
		return out, nil
	}
	kinds := map[string]scsi.Access{"rw": scsi.ReadWrite, "ro": scsi.ReadOnly, "hidden": scsi.Hidden}
	out.LUNs = map[int]scsi.Access{}
	for n, text := range a.LUNs {
		kind, ok := kinds[text]
		if !ok {
			return out, fmt.Errorf("the access %q to unit %d: there are rw, ro and hidden", text, n)
		}
		out.LUNs[n] = kind
	}
	return out, nil
}

// A Session is one initiator that is logged in.
type Session struct {
	Initiator string    `json:"initiator"`
	Alias     string    `json:"alias,omitempty"`
	User      string    `json:"user,omitempty"`   // of CHAP
	Target    string    `json:"target,omitempty"` // none for a discovery session
	ISID      string    `json:"isid"`             // hexadecimal
	TSIH      uint16    `json:"tsih"`
	Remote    string    `json:"remote"`
	Since     time.Time `json:"since"`
}

func session(i iscsi.SessionInfo) Session {
	return Session{
		Initiator: i.Initiator, Alias: i.InitiatorAlias, User: i.User, Target: i.Target,
		ISID: hex.EncodeToString(i.ISID[:]), TSIH: i.TSIH, Remote: i.Remote.String(), Since: i.Since,
	}
}
