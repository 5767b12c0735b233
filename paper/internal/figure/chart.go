package figure

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A chart has a group of bars for each work, and a bar for each subject in it.
type chart struct {
	file, title string
	metric      result.Metric
	subjects    []string // keys
	works       []work
}

// A work is a group of bars.
type work struct{ name, label string }

// draw writes the chart, or nothing where there is nothing to compare.
func (c chart) draw(file string, r *result.Results) error {
	d := newDiagram(c.title, c.metric.Name+", "+c.metric.Unit)
	subjects := slices.DeleteFunc(slices.Clone(c.subjects), func(key string) bool { return len(c.bars(r, key)) == 0 })
	if len(subjects) < 2 {
		return nil
	}
	for i, key := range subjects {
		b := bars{at: c.bars(r, key), color: colorOf(r, key)}
		const group = 0.8 // of the room that a group has
		b.width = group / float64(len(subjects))
		b.shift = (float64(i) - float64(len(subjects)-1)/2) * b.width
		d.Add(b)
		d.legend.Add(r.Name(key), b)
	}
	var labels []string
	for _, w := range c.works {
		labels = append(labels, w.label)
	}
	d.NominalX(labels...)
	return d.save(file)
}

// bars are those of one subject.
func (c chart) bars(r *result.Results, key string) (all []bar) {
	for i, w := range c.works {
		if s, ok := r.Find(w.name, key, c.metric.Name); ok {
			least, most := result.Spread(s.Values)
			all = append(all, bar{x: float64(i), top: result.Median(s.Values), least: least, most: most})
		}
	}
	return all
}

// A bar goes from 0 to its top, and has a whisker over its spread.
type bar struct{ x, top, least, most float64 }

// bars implements plot.Plotter for the bars of one colour.
type bars struct {
	at           []bar
	width, shift float64 // in units of x
	color        color.Color
}

// Plot draws the bars.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, a := range b.at {
		left, right := x(a.x+b.shift-b.width/2), x(a.x+b.shift+b.width/2)
		c.FillPolygon(b.color, []vg.Point{{X: left, Y: y(0)}, {X: left, Y: y(a.top)}, {X: right, Y: y(a.top)}, {X: right, Y: y(0)}})
		if a.most > a.least {
			middle := (left + right) / 2
			c.StrokeLine2(draw.LineStyle{Color: color.Gray{60}, Width: vg.Points(0.7)}, middle, y(a.least), middle, y(a.most))
		}
	}
}

// DataRange is what the axes must show.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for i, a := range b.at {
		if i == 0 {
			xmin, xmax = a.x-0.5, a.x+0.5
		}
		xmin, xmax, ymax = min(xmin, a.x-0.5), max(xmax, a.x+0.5), max(ymax, a.top, a.most)
	}
	return xmin, xmax, 0, ymax
}

// Thumbnail draws the sign of the legend.
func (b bars) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.color, []vg.Point{
		{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Min.Y},
	})
}

// colorOf is the colour of a subject, the same in all figures. The colours are
// those of Okabe and Ito and then of Tol, which colour-blind people can tell
// apart.
func colorOf(r *result.Results, key string) color.Color {
	return palette(slices.IndexFunc(r.Subjects, func(s result.Subject) bool { return s.Key == key }))
}

func palette(i int) color.Color {
	colors := []color.RGBA{
		{0, 0, 0, 255}, {120, 120, 120, 255}, {213, 94, 0, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {0, 114, 178, 255},
		{0, 158, 115, 255}, {240, 228, 66, 255}, {204, 121, 167, 255}, {170, 170, 170, 255},
		{136, 34, 85, 255}, {51, 34, 136, 255}, {17, 119, 51, 255}, {153, 153, 51, 255}, {102, 17, 0, 255}, {170, 68, 153, 255},
		{68, 170, 153, 255},
	}
	return colors[(i+len(colors))%len(colors)]
}
