// Package figure draws what was measured, as SVG files.
package figure

import (
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// Draw writes those figures to a directory for which there are results.
func Draw(dir string, r *result.Results) error {
	for _, c := range charts(r) {
		if err := c.draw(filepath.Join(dir, c.file+".svg"), r); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
	}
	for _, l := range stacks() {
		if err := l.draw(filepath.Join(dir, l.file+".svg"), r); err != nil {
			return fmt.Errorf("%s: %w", l.file, err)
		}
	}
	return nil
}

// The size of a figure.
const (
	width  = 18 * vg.Centimeter
	height = 9 * vg.Centimeter
)

// save writes what draw draws to a file.
func save(name string, draw func(*vgsvg.Canvas) error) error {
	c := vgsvg.New(width, height)
	if err := draw(c); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := c.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}
