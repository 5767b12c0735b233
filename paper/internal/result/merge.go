package result

import "slices"

// Merge is one picture of several runs: each work is as the first run has it
// that has measured it. What is no work, is of the first run.
func Merge(runs []*Results) *Results {
	all := *runs[0]
	all.Subjects, all.Works = slices.Clone(all.Subjects), slices.Clone(all.Works)
	all.Series, all.Failures = slices.Clone(all.Series), nil
	for _, run := range runs[1:] {
		for _, s := range run.Subjects {
			if !slices.Contains(all.Subjects, s) {
				all.Subjects = append(all.Subjects, s)
			}
		}
		known := slices.Clone(all.Works)
		for _, w := range run.Works {
			if !slices.Contains(known, w) {
				all.Works = append(all.Works, w)
			}
		}
		for _, s := range run.Series {
			if !slices.Contains(known, s.Work) {
				all.Series = append(all.Series, s)
			}
		}
	}
	return &all
}
