package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"gopkg.in/yaml.v3"
)

// What -o may say.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatName  = "name"
	// formatAnsible is for lists of nodes only.
	formatAnsible = "ansible"
)

// outputs lists those that every command knows.
func outputs() []string {
	return []string{formatTable, formatWide, formatJSON, formatYAML, formatName}
}

// column is one column of a table.
type column[T any] struct {
	title string
	value func(T) string
	// wide columns are shown with -o wide only.
	wide bool
}

// table is how a kind of record is shown.
type table[T any] struct {
	columns []column[T]
	// name is what -o name prints.
	name func(T) string
}

// print writes items in the format that was asked for.
func (t table[T]) print(w io.Writer, format string, items []T) error {
	switch format {
	case formatTable, formatWide:
		return t.tabulate(w, format == formatWide, items)
	case formatName:
		for _, i := range items {
			if _, err := fmt.Fprintln(w, t.name(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return encode(w, format, map[string]any{"items": append([]T{}, items...)})
}

func (t table[T]) tabulate(w io.Writer, wide bool, items []T) error { //nolint:revive // wide is the format asked for
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(cell func(column[T]) string) {
		var cells []string
		for _, c := range t.columns {
			if wide || !c.wide {
				cells = append(cells, cell(c))
			}
		}
		_, _ = fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t ")) // Flush reports it
	}
	row(func(c column[T]) string { return c.title })
	for _, i := range items {
		row(func(c column[T]) string { return cmp.Or(oneLine(c.value(i)), "-") })
	}
	return tw.Flush()
}

// oneLine is a text without what would make another line or column of it: clients
// call requests as they like.
func oneLine(text string) string { return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(text) }

// encodeLine writes one value as JSON in a line.
func encodeLine(w io.Writer, value any) error { return json.NewEncoder(w).Encode(value) }

// encode writes one value as JSON or YAML, with the same keys.
func encode(w io.Writer, format string, value any) error {
	if format == formatJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var plain any
	// YAML knows fewer characters than JSON.
	if err := yaml.Unmarshal([]byte(printable(string(data))), &plain); err != nil {
		return err
	}
	return yaml.NewEncoder(w).Encode(plain)
}

// encoded tells whether a format is for programs that want every field.
func encoded(format string) bool { return format == formatJSON || format == formatYAML }

// ago shows how long ago something was, as two units at most.
func ago(now, then time.Time) string {
	d := now.Sub(then).Round(time.Second)
	switch {
	case then.IsZero():
		return ""
	case d < 2*time.Minute:
		return d.String()
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
