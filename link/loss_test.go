package link

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestGilbertElliott compares the share of bad frames, and the length of
// bursts, with those of the chain.
func TestGilbertElliott(t *testing.T) {
	for _, c := range []struct {
		model        GilbertElliott
		share, burst float64
	}{
		{GilbertElliott{Worsen: 0.01, Improve: 0.2}, 0.01 / 0.21, 5},
		{GilbertElliott{Worsen: 0.005, Improve: 0.5}, 0.005 / 0.505, 2},
		{GilbertElliott{Worsen: 0.02, Improve: 0.1, Bad: 0.5}, 0.02 / 0.12 * 0.5, 0},
		{GilbertElliott{Worsen: 0.1, Improve: 0.9, Good: 0.02}, 0.1 + 0.9*0.02, 0},
		{GilbertElliott{Good: 0.03}, 0.03, 0},
		{GilbertElliott{}, 0, 0},
		{GilbertElliott{Worsen: 1}, 1, 0},
	} {
		const n = 300_000
		lose := c.model.model(rand.New(rand.NewPCG(5, 6)))
		lost, bursts, before := 0, 0, false
		for range n {
			now := lose(0)
			if now {
				lost++
				if !before {
					bursts++
				}
			}
			before = now
		}
		if share := float64(lost) / n; math.Abs(share-c.share) > 0.06*c.share {
			t.Errorf("%+v: lost %v, want %v", c.model, share, c.share)
		}
		if c.burst > 0 {
			if mean := float64(lost) / float64(bursts); math.Abs(mean-c.burst) > 0.06*c.burst {
				t.Errorf("%+v: bursts of %v, want %v", c.model, mean, c.burst)
			}
		}
	}
}

func TestOutages(t *testing.T) {
	all, stats := burst(Impairment{Losses: Outages{{At: 2 * ms, For: 3 * ms}, {At: 7 * ms, For: 1}}}, 10, 60, ms)
	var numbers []int
	for _, d := range all {
		numbers = append(numbers, d.number)
	}
	if want := []int{0, 1, 5, 6, 8, 9}; len(numbers) != len(want) || stats.DropImpaired.Load() != 4 {
		t.Errorf("left %v, want %v", numbers, want)
	} else {
		for i := range want {
			if numbers[i] != want[i] {
				t.Errorf("left %v, want %v", numbers, want)
			}
		}
	}
}

// TestLossesAndLoss shows that a model does not change the fates that Loss
// gives, and adds its own.
func TestLossesAndLoss(t *testing.T) {
	plain, _ := burst(Impairment{Loss: 0.1, Seed: 9}, 1000, 60, ms)
	both, _ := burst(Impairment{Loss: 0.1, Seed: 9, Losses: Outages{{At: 500 * ms, For: 100 * ms}}}, 1000, 60, ms)
	i := 0
	for _, d := range plain {
		if d.number >= 500 && d.number < 600 {
			continue
		}
		if i >= len(both) || both[i] != d {
			t.Fatalf("frame %d has another fate", d.number)
		}
		i++
	}
}

// TestOutageLoss loses some of the frames only.
func TestOutageLoss(t *testing.T) {
	all, _ := burst(Impairment{Losses: Outages{{At: ms, For: time.Second, Loss: 0.3}}}, 1000, 60, ms)
	if n := 1000 - len(all); n < 250 || n > 350 {
		t.Errorf("%d of 1000 frames were lost, want 300", n)
	}
}
