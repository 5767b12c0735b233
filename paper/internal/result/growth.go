package result

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Point is what n idle connections have taken, all together.
type Point struct {
	N         int
	Memory    float64 // bytes
	Establish float64 // seconds
	User      float64 // seconds of CPU time that the server's own code takes to establish them
	Close     float64 // seconds
}

// idleWork is what the names of the works end with that hold idle connections.
const idleWork = " idle connections"

// IdleWork is the work that holds n idle connections.
func IdleWork(n int) string { return thousands(strconv.Itoa(n)) + idleWork }

// IdleCount is how many connections a work holds; ok is false for other works.
func IdleCount(work string) (n int, ok bool) {
	number, ok := strings.CutSuffix(work, idleWork)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(strings.ReplaceAll(number, ",", ""))
	return n, err == nil
}

// Growth is what was measured with idle connections on a subject, the fewest
// first.
func (r *Results) Growth(subject string) (all []Point) {
	for _, work := range r.Works {
		n, ok := IdleCount(work)
		if !ok {
			continue
		}
		memory, ok1 := r.Find(work, subject, Memory.Name)
		establish, ok2 := r.Find(work, subject, Establish.Name)
		user, ok3 := r.Find(work, subject, EstablishUser.Name)
		closing, ok4 := r.Find(work, subject, Closing.Name)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			continue
		}
		all = append(all, Point{
			N: n, Memory: Median(memory.Values) * float64(n),
			Establish: float64(n) / Median(establish.Values), User: Median(user.Values) * float64(n) / 1e6,
			Close: float64(n) / Median(closing.Values),
		})
	}
	slices.SortFunc(all, func(a, b Point) int { return cmp.Compare(a.N, b.N) })
	return all
}

// A Linearity is what a connection takes where there are the most of them, beside
// what it takes where there are the fewest: with 1 growth is linear, with less it
// is slower.
type Linearity struct {
	From, To                       int // connections
	Memory, Establish, User, Close float64
}

// Linear compares the ends of a growth; ok is false for fewer than two points.
func Linear(points []Point) (l Linearity, ok bool) {
	if len(points) < 2 {
		return l, false
	}
	few, many := points[0], points[len(points)-1]
	factor := float64(many.N) / float64(few.N)
	return Linearity{
		From: few.N, To: many.N, Memory: many.Memory / few.Memory / factor,
		Establish: many.Establish / few.Establish / factor, User: many.User / few.User / factor,
		Close: many.Close / few.Close / factor,
	}, true
}
