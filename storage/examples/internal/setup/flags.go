package setup

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/seed-012105e5/gonet/internal/program"
)

// Parse reads a command line. For -h it prints about, the flags and what is behind
// them to out, and returns flag.ErrHelp; all other errors are about the command line
// (exit code 2).
func Parse(flags *flag.FlagSet, args []string, out io.Writer, about, behind string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "%s\n\nFlags:\n", about)
		flags.SetOutput(out)
		flags.PrintDefaults()
		fmt.Fprint(out, behind)
		return err
	case err != nil:
		return program.Usage("%w", err)
	}
	return nil
}
