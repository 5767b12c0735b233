// Package figure draws what was measured, as SVG files.
package figure

import (
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
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
	for _, g := range growths() {
		if err := g.draw(filepath.Join(dir, g.file+".svg"), r); err != nil {
			return fmt.Errorf("%s: %w", g.file, err)
		}
	}
	return nil
}

// The size of a figure, and how much of its width is the legend's.
const (
	width  = 20 * vg.Centimeter
	height = 8 * vg.Centimeter
	beside = 6.4 * vg.Centimeter
)

// A diagram is a plot with its legend on the right.
type diagram struct {
	*plot.Plot
	legend plot.Legend
}

// newDiagram is a diagram of values from 0 on.
func newDiagram(title, y string) diagram {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, y
	p.Title.TextStyle.Font.Size, p.Title.Padding = 11, 6
	p.Y.Label.TextStyle.Font.Size, p.Y.Tick.Label.Font.Size, p.X.Tick.Label.Font.Size = 9, 8, 8
	p.Y.Min = 0
	p.Y.Tick.Marker = ticks{}
	d := diagram{Plot: p, legend: newLegend()}
	d.legend.ThumbnailWidth = 10
	return d
}

// save draws the diagram into a file.
func (d diagram) save(name string) error {
	svg := vgsvg.New(width, height)
	all := draw.New(svg)
	d.Draw(draw.Crop(all, 0, -beside, 0, 0))
	d.legend.Draw(draw.Crop(all, width-beside+4, 0, 0, -20))
	return write(name, svg)
}

func newLegend() plot.Legend {
	l := plot.NewLegend()
	l.TextStyle.Font.Size, l.ThumbnailWidth = 8, 14
	l.Left, l.Top, l.Padding = true, true, 3
	return l
}

// write writes a drawing to a file.
func write(name string, svg *vgsvg.Canvas) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := svg.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

// ticks are the usual ones, with numbers that people read.
type ticks struct{}

func (ticks) Ticks(low, high float64) []plot.Tick {
	all := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range all {
		if t.Label != "" {
			all[i].Label = result.Number(t.Value)
		}
	}
	return all
}
