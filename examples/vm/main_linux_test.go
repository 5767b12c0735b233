package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"browse": browse})
}

// TestVM boots guests whose cards are joined by sockets; vhost/vnet does the same over
// vhost-user, and here with GONET_LONG=1. The storage module's vhost-blk has a test of the
// program with a disk.
func TestVM(t *testing.T) {
	guest.Need(t)
	ways := []string{"stream", "dgram"}
	if os.Getenv("GONET_LONG") != "" {
		ways = append(ways, "vhost-user")
	}
	for _, net := range ways {
		t.Run(net, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(context.Background(), []string{"-net", net}, &out)
			t.Logf("%s", out.String())
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`http://10.0.0.2/ is "a page of Linux `, "the guest has fetched a page", "are gone"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %s", want)
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "go run ./examples/vm") {
		t.Errorf("%v: %s", err, out.String())
	}
	for _, args := range [][]string{{"-net", "tap"}, {"-kernel", "x"}, {"-initrd", "x"}, {"-disk-socket", "/nowhere/disk"}, {"more"}, {"-such"}} {
		if err := run(context.Background(), args, &out); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
