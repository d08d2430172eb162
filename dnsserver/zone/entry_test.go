package zone

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEntries(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // LINE:TEXT, or LINE!FAULT
	}{
		{"empty", "", nil},
		{"blank and comments", "\n  \n; c\n\t; (\n()\n", nil},
		{"lines", "a\n\nb\n", []string{"1:a", "3:b"}},
		{"no newline at the end", "a\nb", []string{"1:a", "2:b"}},
		{"crlf", "a\r\n\r\nb\r\n", []string{"1:a\r", "3:b\r"}},
		{"parentheses", "a ( b\n c ) d\ne\n", []string{"1:a ( b| c ) d", "3:e"}},
		{"nested parentheses", "a (\n(\n)\n)\nb\n", []string{"1:a (|(|)|)", "5:b"}},
		{"too many closed", "a )\nb\n", []string{"1:a )", "2:b"}},
		{"comment in parentheses", "a ( ; )\n)\nb\n", []string{"1:a ( ; )|)", "3:b"}},
		{"quotes hide syntax", "a \"(;\"\nb\n", []string{`1:a "(;"`, "2:b"}},
		{"escapes hide syntax", "a \\( \\\" \\;\nb\n", []string{`1:a \( \" \;`, "2:b"}},
		{"escaped quote in quotes", "a \"\\\"(\"\nb\n", []string{`1:a "\"("`, "2:b"}},
		{"escape at the end of a line", "a \\\nb\n", []string{`1:a \`, "2:b"}},
		{"quote without end", "a \"b\nc\n", []string{"1!quoted string without end", "2:c"}},
		{"parenthesis without end", "a (\nc\n", []string{"1!end of file inside parentheses"}},
		{"long line", strings.Repeat("x", 5000) + "\nb", []string{"1:" + strings.Repeat("x", 5000), "2:b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			es := entries{r: bufio.NewReaderSize(strings.NewReader(tt.text), 16)}
			var got []string
			for {
				e, err := es.next()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if what, _, _ := strings.Cut(e.fault, ":"); what != "" {
					got = append(got, fmt.Sprintf("%d!%s", e.line, what))
					continue
				}
				text := strings.TrimSuffix(string(e.text), "\n")
				got = append(got, fmt.Sprintf("%d:%s", e.line, strings.ReplaceAll(text, "\n", "|")))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       nil,
		" a\tb\r\n":              {"a", "b"},
		"$INCLUDE \"a b\" c ; d": {"$INCLUDE", "a b", "c"},
		"a (b\n ; c\n d)\n":      {"a", "b", "d"},
		`a "" b`:                 {"a", "", "b"},
		`a\ b \; c`:              {`a\ b`, `\;`, "c"},
		`"x;(" y`:                {"x;(", "y"},
	} {
		if got := words([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, want %q", text, got, want)
		}
	}
}
