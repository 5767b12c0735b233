// Package program is what command-line programs have in common, whatever they do:
// how they end, and numbers with units.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Main runs a program and exits. The context ends with Ctrl-C or SIGTERM, and
// then the program is to end in order; a second one ends it at once. Args are
// those of the command line, and results go to out.
func Main(run func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	if message := Explain(err); message != "" {
		fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), message)
	}
	os.Exit(ExitCode(err))
}

// Explain is what is left to say about how a program has ended.
func Explain(err error) string {
	var child *exec.ExitError // which has explained itself
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return ""
	case errors.As(err, &child) && child.Exited():
		return ""
	case child != nil: // killed, so it has said nothing
		return fmt.Sprintf("the process in the private network has ended by itself: %v", child)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return err.Error()
}

// ExitCode is 2 for a command line that cannot be understood, as in package
// flag; 130 for a program that was interrupted before it was done, as in a
// shell.
func ExitCode(err error) int {
	var child *exec.ExitError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &child) && child.Exited():
		return child.ExitCode()
	case errors.As(err, new(usageError)):
		return 2
	case errors.Is(err, context.Canceled):
		return 130
	}
	return 1
}

// A usageError is about the command line.
type usageError struct{ error }

func (e usageError) Error() string { return e.error.Error() + " (-h explains)" }
func (e usageError) Unwrap() error { return e.error }

// Usage returns an error about the command line.
func Usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
