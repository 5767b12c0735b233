package figure

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A growth shows what idle connections take by their number, both axes
// logarithmic: what grows as their number does is a line as steep as the dashed
// one.
type growth struct {
	file     string
	subjects []string // keys
}

// A panel is one of the things that grow.
type panel struct {
	title string
	of    func(result.Point) float64
}

func panels() []panel {
	return []panel{
		{"memory, GB", func(p result.Point) float64 { return p.Memory / 1e9 }},
		{"to establish all, s", func(p result.Point) float64 { return p.Establish }},
		{"user time for it, s", func(p result.Point) float64 { return p.User }},
		{"to close all, s", func(p result.Point) float64 { return p.Close }},
	}
}

// draw writes the figure, or nothing where nothing has grown.
func (g growth) draw(file string, r *result.Results) error {
	subjects := slices.DeleteFunc(slices.Clone(g.subjects), func(key string) bool { return len(r.Growth(key)) < 2 })
	if len(subjects) == 0 {
		return nil
	}
	legend := newLegend()
	var row []*plot.Plot
	for i, of := range panels() {
		row = append(row, of.plot(r, subjects, i == 0, &legend))
	}
	svg := vgsvg.New(width, height)
	all := draw.New(svg)
	const legendWidth = 4.4 * vg.Centimeter
	tiles := draw.Tiles{Rows: 1, Cols: len(row), PadX: 8, PadRight: legendWidth, PadTop: 4}
	for i, c := range plot.Align([][]*plot.Plot{row}, tiles, all)[0] {
		row[i].Draw(c)
	}
	legend.Draw(draw.Crop(all, width-legendWidth+4, 0, 0, -20))
	return write(file, svg)
}

// plot draws a line for each subject, and one that shows linear growth.
func (of panel) plot(r *result.Results, subjects []string, isFirst bool, legend *plot.Legend) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = of.title, "connections"
	p.Title.TextStyle.Font.Size, p.Title.Padding = 9, 6
	p.X.Label.TextStyle.Font.Size, p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = 8, 7, 7
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = decades{}, decades{}
	for _, key := range subjects {
		c := curve{points: of.points(r.Growth(key)), radius: 2}
		c.style = draw.LineStyle{Color: colorOf(r, key), Width: 1.2}
		p.Add(c)
		if isFirst {
			legend.Add(r.Name(key), c)
		}
	}
	straight := curve{points: linear(of.points(r.Growth(subjects[0])))}
	straight.style = draw.LineStyle{Color: color.Gray{128}, Width: 0.7, Dashes: []vg.Length{3, 3}}
	p.Add(straight)
	if isFirst {
		legend.Add("linear growth", straight)
	}
	p.X.Min, p.X.Max = decade(p.X.Min, p.X.Max)
	p.Y.Min, p.Y.Max = decade(p.Y.Min, p.Y.Max)
	return p
}

func (of panel) points(all []result.Point) (points []point) {
	for _, p := range all {
		points = append(points, point{float64(p.N), of.of(p)})
	}
	return points
}

// A curve implements plot.Plotter for points that a line joins, with a disc at
// each.
type curve struct {
	points []point
	style  draw.LineStyle
	radius vg.Length
}

type point struct{ x, y float64 }

// Plot draws the curve.
func (k curve) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var line []vg.Point
	for _, a := range k.points {
		line = append(line, vg.Point{X: x(a.x), Y: y(a.y)})
	}
	k.stroke(&c, line)
}

func (k curve) stroke(c *draw.Canvas, line []vg.Point) {
	c.StrokeLines(k.style, line)
	for _, at := range line {
		c.DrawGlyph(draw.GlyphStyle{Color: k.style.Color, Radius: k.radius, Shape: draw.CircleGlyph{}}, at)
	}
}

// DataRange is what the axes must show.
func (k curve) DataRange() (xmin, xmax, ymin, ymax float64) {
	first := k.points[0]
	xmin, xmax, ymin, ymax = first.x, first.x, first.y, first.y
	for _, a := range k.points {
		xmin, xmax, ymin, ymax = min(xmin, a.x), max(xmax, a.x), min(ymin, a.y), max(ymax, a.y)
	}
	return xmin, xmax, ymin, ymax
}

// Thumbnail draws the sign of the legend.
func (k curve) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	k.stroke(c, []vg.Point{{X: c.Min.X, Y: y}, {X: c.Max.X, Y: y}})
}

// linear goes on from the first point as linear growth would, as far as the last.
func linear(points []point) []point {
	first, last := points[0], points[len(points)-1]
	return []point{first, {last.x, first.y * last.x / first.x}}
}

// decade widens a range to powers of ten.
func decade(least, most float64) (float64, float64) {
	return math.Pow(10, math.Floor(math.Log10(least)+0.01)), math.Pow(10, math.Ceil(math.Log10(most)-0.01))
}

// decades are ticks of a logarithmic axis, with numbers at powers of ten.
type decades struct{}

func (decades) Ticks(low, high float64) (all []plot.Tick) {
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for i := 1; i < 10; i++ {
			t := plot.Tick{Value: float64(i) * math.Pow(10, power)}
			if i == 1 {
				t.Label = brief(t.Value)
			}
			if t.Value >= low*0.999 && t.Value <= high*1.001 {
				all = append(all, t)
			}
		}
	}
	return all
}

// brief is a power of ten that takes little room: 0.1, 10, 100k, 1M.
func brief(v float64) string {
	unit := ""
	switch {
	case v >= 1e6:
		v, unit = v/1e6, "M"
	case v >= 1e3:
		v, unit = v/1e3, "k"
	}
	return strconv.FormatFloat(v, 'g', -1, 64) + unit
}
