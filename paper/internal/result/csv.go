package result

import (
	"encoding/csv"
	"io"
	"os"
	"strconv"
)

// WriteCSV writes a line for each value.
func (r *Results) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"work", "subject", "part", "metric", "unit", "round", "value"}) // Error tells of all errors
	for _, s := range r.Series {
		for i, v := range s.Values {
			c.Write([]string{s.Work, s.Subject, s.Part, s.Metric.Name, s.Metric.Unit, strconv.Itoa(i + 1), strconv.FormatFloat(v, 'g', 6, 64)})
		}
	}
	c.Flush()
	return c.Error()
}

// WriteCSVFile is WriteCSV to a file.
func (r *Results) WriteCSVFile(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := r.WriteCSV(f); err != nil {
		return err
	}
	return f.Close()
}
