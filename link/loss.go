package link

import (
	"math/rand/v2"
	"time"
)

// A LossModel loses frames of an [Impairment] that depend on each other, as
// [GilbertElliott] and [Outages] do. Those that do not, Impairment.Loss loses.
type LossModel interface {
	// model returns the machine, which says of each frame whether it is lost
	// as its last bit is sent.
	model(random *rand.Rand) func(sent time.Duration) bool
}

// GilbertElliott is a line that is now good, now bad, and loses frames in
// bursts (Gilbert, 1960; Elliott, 1963). It may change its state before each
// frame. It is good at first.
//
// In the long run it is bad for Worsen/(Worsen+Improve) of
// the frames, and a bad time is 1/Improve frames long on average.
type GilbertElliott struct {
	// Worsen and Improve are the probabilities that a good line becomes bad
	// before a frame, and a bad one good.
	Worsen, Improve float64

	// Good and Bad are the probabilities that a frame is lost in either state.
	// 0 means for Good that none is, and for Bad that all are.
	Good, Bad float64
}

func (c GilbertElliott) model(random *rand.Rand) func(time.Duration) bool {
	if c.Bad == 0 {
		c.Bad = 1
	}
	bad := false
	chance := func(p float64) bool { return p > 0 && random.Float64() < p }
	return func(time.Duration) bool {
		if bad {
			bad = !chance(c.Improve)
		} else {
			bad = chance(c.Worsen)
		}
		if bad {
			return chance(c.Bad)
		}
		return chance(c.Good)
	}
}

// Outages are spans of time in which frames are lost, in order.
type Outages []Outage

// An Outage begins At some time after the link was made, and lasts For so
// long. Loss is the probability that a frame is lost in it; 0 means that all
// are.
type Outage struct {
	At, For time.Duration
	Loss    float64
}

func (o Outages) model(random *rand.Rand) func(time.Duration) bool {
	return func(sent time.Duration) bool {
		for len(o) > 0 && sent >= o[0].At+o[0].For {
			o = o[1:]
		}
		return len(o) > 0 && sent >= o[0].At && (o[0].Loss == 0 || random.Float64() < o[0].Loss)
	}
}
