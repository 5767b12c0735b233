package tcp

// maxActivities bounds the free list of transfer states.
const maxActivities = 64

// An activityPool is the free list of transfer states of a stack. Whoever has the
// state of a connection takes one and puts one back, and waits for nobody.
type activityPool chan *activity

func newActivityPool() activityPool { return make(chan *activity, maxActivities) }

func (p activityPool) take() *activity {
	select {
	case a := <-p:
		return a
	default:
		return new(activity)
	}
}

func (p activityPool) put(a *activity) {
	select {
	case p <- a.reset():
	default:
	}
}
