package guest

import (
	"os"
	"testing"

	"github.com/seed-012105e5/gonet/internal/guest"
)

// What runs in a guest.
type (
	Job    = guest.Job
	Inside = guest.Inside
)

// Main runs the tests of a package, and exits. In a guest it does the guest's job.
// Call it from TestMain.
func Main(m *testing.M, jobs map[string]Job) {
	guest.Enter(jobs)
	os.Exit(m.Run())
}
