// Package noninterference asks whether one party of a system can see what another
// does (Goguen and Meseguer, Security Policies and Security Models, 1982): two
// worlds are played that differ in a secret, an act of somebody or of an observer
// in somebody's name, and what the observer sees of them is compared.
package noninterference

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A World is played once with the secret and once without. Whatever chance
// decides in it comes from seed. It returns all that the observer sees: answers,
// their sizes and numbers, and when they come.
type World func(secret bool, seed uint64) string

// Equal plays w with and without the secret, with each of so many seeds. The error
// says where the observer sees a difference, or that he never sees anything.
func Equal(seeds uint64, w World) error {
	blind := true
	for seed := range seeds {
		without, with := w(false, seed), w(true, seed)
		if without != with {
			return fmt.Errorf("with seed %d the observer sees %s", seed, difference(without, with))
		}
		blind = blind && without == ""
	}
	if blind {
		return errors.New("the observer sees nothing in any world")
	}
	return nil
}

// difference is the first line in which two views differ.
func difference(without, with string) string {
	a, b := strings.Split(without, "\n"), strings.Split(with, "\n")
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	line := func(all []string) string {
		if i < len(all) {
			return all[i]
		}
		return "nothing"
	}
	return fmt.Sprintf("in line %d of %d or %d:\n\t%s\nand with the secret\n\t%s", i, len(a), len(b), line(a), line(b))
}

// minRuns is how many runs the bound of Alike holds from (Wei and Dudley, Two-
// sample Dvoretzky-Kiefer-Wolfowitz inequalities, 2012).
const minRuns = 458

// criticalValue makes a false alarm of the test of Kolmogorov and Smirnov rarer
// than 2*exp(-2*2.9*2.9), which is 10^-7, whatever the distribution.
const criticalValue = 2.9

// Alike plays w so often with the secret, and as often without, each time with
// another seed, and compares the two distributions of the number that it returns.
// The error says that they are told apart, by the test of Kolmogorov and Smirnov:
// which alike ones are less than once in 10^6 times, and those of which some
// number is found [Threshold] oftener in one than in the other nearly always.
func Alike(runs uint64, w func(secret bool, seed uint64) float64) error {
	if runs < minRuns {
		return fmt.Errorf("%d runs are too few, %d are needed", runs, minRuns)
	}
	var without, with []float64
	for i := range runs {
		without, with = append(without, w(false, 2*i)), append(with, w(true, 2*i+1))
	}
	if d, at := distance(without, with); d > Threshold(runs) {
		return fmt.Errorf("the observer sees at most %v with a chance that differs by %.3f; %.3f is chance", at, d, Threshold(runs))
	}
	return nil
}

// Threshold is the distance of two distributions that Alike takes for a difference.
func Threshold(runs uint64) float64 { return criticalValue * math.Sqrt(2/float64(runs)) }

// distance is the largest difference of the distribution functions of two samples
// of one size, and where it is.
func distance(a, b []float64) (d, at float64) {
	slices.Sort(a)
	slices.Sort(b)
	for i, j := 0, 0; i < len(a) && j < len(b); {
		x := min(a[i], b[j])
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
		if here := math.Abs(float64(i-j)) / float64(len(a)); here > d {
			d, at = here, x
		}
	}
	return d, at
}
