//go:build !linux

package rootless

import (
	"context"

	"github.com/seed-012105e5/gonet/tap"
)

// Run returns an error: this system has no network namespaces.
func Run(context.Context, []Forward) (inside bool, err error) { return false, tap.Available() }

// Serve returns an error, as Run does.
func (f Forward) Serve(context.Context) error { return tap.Available() }
