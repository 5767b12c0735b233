package figure

import (
	"image/color"

	"gonum.org/v1/plot/vg/draw"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// A stack is a chart of the processes of a stack: how long each runs, and, on
// top of that, how long it waits to run.
type stack struct {
	file, title, work, subject string
}

func (s stack) draw(file string, r *result.Results) error {
	var labels []string
	var running, ready []bar
	for _, row := range r.Rows(s.work) {
		runs, ok := r.FindRow(s.work, row, result.Running.Name)
		if row.Subject != s.subject || !ok {
			continue
		}
		waits, _ := r.FindRow(s.work, row, result.Ready.Name)
		x, top := float64(len(labels)), result.Median(runs.Values)
		labels = append(labels, row.Part)
		running = append(running, bar{x: x, top: top})
		ready = append(ready, bar{x: x, top: top + result.Median(waits.Values)})
	}
	if len(labels) == 0 {
		return nil
	}
	d := newDiagram(s.title, "µs/request")
	const width = 0.6
	upper := bars{at: ready, width: width, color: color.RGBA{230, 159, 0, 255}}
	lower := bars{at: running, width: width, color: color.RGBA{0, 114, 178, 255}} // drawn over it
	d.Add(upper, lower)
	d.legend.Add("ready, and waiting to run", upper)
	d.legend.Add("running", lower)
	d.NominalX(labels...)
	d.X.Tick.Label.Rotation = 0.4
	d.X.Tick.Label.XAlign, d.X.Tick.Label.YAlign = draw.XRight, draw.YTop
	return d.save(file)
}
