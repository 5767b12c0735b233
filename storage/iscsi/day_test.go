package iscsi

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/testing/day"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

var (
	daySeed = flag.Uint64("day.seed", 0, "of TestDay: run this `seed` only")
	dayFor  = flag.Duration("day.for", 0, "how long a time TestDay runs, virtual; 15 minutes if 0, 2 with -short, and a day with GONET_LONG=1")
)

// TestDay lets initiators use a unit at random over impaired links, see package day.
//
//	GONET_LONG=1 go test -run TestDay ./iscsi
//	go test -run TestDay ./iscsi -day.seed 7 -day.for 2h
func TestDay(t *testing.T) {
	access := []Access{
		{Initiator: testInitiator + ":chap", User: "joe", Secret: testSecret, MutualUser: "t", MutualSecret: testMutual},
		{},
	}
	day.Run(t, *daySeed, *dayFor, day.Config{
		Port: ":3260",
		Serve: func(t testing.TB, disk *block.Disk) day.Server {
			s := &Server{PingInterval: 5 * time.Second, QueueDepth: 4, MaxMemory: 256 << 10, Random: dayRandom(9)}
			u, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
			if err != nil {
				t.Fatal(err)
			}
			units, err := s.Add(Target{Name: testTarget, Access: access})
			if err != nil {
				t.Fatal(err)
			}
			if err := units.Add(1, u); err != nil {
				t.Fatal(err)
			}
			return s
		},
		Clients: []day.ClientConfig{
			dayClient(Dialer{Initiator: testInitiator, Random: dayRandom(1)}),
			dayClient(Dialer{Initiator: testInitiator, Random: dayRandom(2), HeaderDigest: true, DataDigest: true, MaxCommands: 1}),
			dayClient(Dialer{Initiator: testInitiator + ":chap", Random: dayRandom(3), DataDigest: true, User: "joe", Secret: testSecret, MutualUser: "t", MutualSecret: testMutual}),
		},
	})
}

// dayRandom is the randomness of one side.
func dayRandom(seed byte) func([]byte) {
	r := rand.NewChaCha8([32]byte{seed})
	return func(b []byte) { r.Read(b) }
}

// dayDevice is a unit with the session that it alone uses.
type dayDevice struct{ *Device }

func (d dayDevice) Reconnects() int64 { return int64(d.client.Connections() - 1) }
func (d dayDevice) Close() error      { return d.client.Close() }

func dayClient(d Dialer) day.ClientConfig {
	d.ReplacementTimeout, d.PingInterval, d.LoginTimeout = time.Hour, 5*time.Second, 5*time.Second
	return day.ClientConfig{
		Open: func(ctx context.Context, dial day.DialFunc) (day.Client, error) {
			d.Dial = dial
			c, err := d.Session(ctx, "10.0.0.2", testTarget)
			if err != nil {
				return nil, err
			}
			dev, err := c.Open(ctx, 1)
			return dayDevice{dev}, err
		},
		Loss: day.LossSilent,
		Judge: func(what string, err error, changes bool) string {
			if errors.Is(err, block.ErrNotSupported) && changes {
				return "not supported"
			}
			return ""
		},
	}
}
