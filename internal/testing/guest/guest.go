package guest

import (
	"errors"
	"testing"

	"github.com/seed-012105e5/gonet/internal/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// What tests need of package internal/guest.
type (
	Config = guest.Config
	Guest  = guest.Guest
	System = guest.System
)

// Host is the address of the host in a guest that has a network.
const Host = guest.Host

// Start boots a guest, and sees to it that it has ended when the test ends. With -short
// the test is skipped; where guests cannot be had it is skipped, or fails in CI.
func Start(t testing.TB, c Config) *Guest {
	t.Helper()
	Need(t)
	g, err := guest.Boot(t.TempDir(), c)
	if errors.Is(err, guest.ErrKernel) {
		need.Unable(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Kill()
		g.Wait()
		if t.Failed() {
			t.Logf("the guest's console:\n%s", g.Console())
		}
	})
	return g
}

// Need skips the test where there are no guests, as Start does.
func Need(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("a guest takes half a minute: not with -short")
	}
	need.Program(t, guest.Emulator)
}
