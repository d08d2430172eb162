package screen

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MinWidth is the narrowest frame, in columns.
const MinWidth = 40

// Render draws one frame, lines of at most width columns, each ended by a newline. colour adds SGR sequences and
// changes nothing else.
func Render(f Facts, width int, colour bool) string {
	r := renderer{width: max(width, MinWidth), colour: colour}
	r.head(f)
	r.sites(f)
	r.cities(f)
	r.faults(f)
	r.events(f)
	r.keys(f)
	return r.b.String()
}

// SGR parameters of the frame's few styles.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

type renderer struct {
	b      strings.Builder
	width  int
	colour bool
	at     int // column of the current line
}

// put writes text in a style as far as the line has room; an ellipsis says that there was more.
func (r *renderer) put(style, text string) {
	text = clean(text)
	room := r.width - r.at
	if n := utf8.RuneCountInString(text); n > room {
		if room <= 0 {
			return
		}
		runes := []rune(text)
		text = string(runes[:room-1]) + "…"
	}
	r.at += utf8.RuneCountInString(text)
	if r.colour && style != plain && text != "" {
		text = "\x1b[" + style + "m" + text + "\x1b[0m"
	}
	r.b.WriteString(text)
}

// cell writes text and fills up to n columns.
func (r *renderer) cell(style, text string, n int) {
	r.put(style, text)
	r.put(plain, strings.Repeat(" ", max(0, n-utf8.RuneCountInString(clean(text)))))
}

func (r *renderer) end() {
	r.b.WriteByte('\n')
	r.at = 0
}

func (r *renderer) section(title string) {
	r.end()
	r.put(bold, title)
	r.end()
}

func (r *renderer) head(f Facts) {
	r.put(bold, f.Title)
	style, answers := green, fmt.Sprintf("%d queries, every one answered", f.Asked)
	switch {
	case f.Asked == 0:
		style, answers = dim, "no queries yet"
	case f.Bad > 0:
		style, answers = red, fmt.Sprintf("%d queries, %d without an answer", f.Asked, f.Bad)
	}
	r.put(plain, "  up "+clock(f.Up)+"  ")
	r.put(style, answers)
	r.end()
}

func (r *renderer) sites(f Facts) {
	r.section("SITES")
	name := 0
	for _, s := range f.Sites {
		name = max(name, utf8.RuneCountInString(s.Name))
	}
	for i, s := range f.Sites {
		mark := "  "
		if i == f.Selected {
			mark = "> "
		}
		r.put(bold, mark)
		key := "    "
		if i < 9 {
			key = fmt.Sprintf("[%d] ", i+1)
		}
		r.put(dim, key)
		r.cell(bold, s.Name, name+2)
		style, shape, text := look(s.Verdict)
		r.cell(style, shape+" "+text, 11)
		r.cell(plain, fmt.Sprintf("%d %%", (s.Weight+5)/10), 7)
		r.put(plain, s.VIP+" "+holder(s))
		r.end()
		r.votes(s, name+8)
	}
}

// votes writes who says what about a site, and the reason behind it where there is room for it.
func (r *renderer) votes(s Site, indent int) {
	if len(s.Votes) > 0 {
		r.put(dim, strings.Repeat(" ", indent))
	}
	for i, v := range s.Votes {
		if i > 0 {
			r.put(plain, "  ")
		}
		style, shape, text := look(v.Says)
		r.put(plain, v.Datacenter+" ")
		r.put(style, shape+" "+text)
	}
	if s.Reason != "" {
		if r.at > 0 && r.at+3+utf8.RuneCountInString(s.Reason) > r.width {
			r.end()
		}
		if r.at > 0 {
			r.put(dim, " · "+s.Reason)
		} else {
			r.put(dim, strings.Repeat(" ", indent)+s.Reason)
		}
	}
	if r.at > 0 {
		r.end()
	}
}

func holder(s Site) string {
	if s.Director == "" {
		return "held by nobody"
	}
	return "held by " + s.Director
}

// look is a level's colour, shape and word: any one of them is enough.
func look(l Level) (style, shape, text string) {
	switch l {
	case Up:
		return green, "●", "up"
	case Partial:
		return yellow, "◐", "partial"
	case Down:
		return red, "○", "down"
	default:
		return dim, "?", "unknown"
	}
}

func (r *renderer) cities(f Facts) {
	r.section("ANSWERS NOW")
	name, addr, site := 0, 0, 0
	for _, c := range f.Cities {
		name = max(name, utf8.RuneCountInString(c.Name))
		addr = max(addr, utf8.RuneCountInString(strings.Join(c.Addrs, ", ")))
		site = max(site, utf8.RuneCountInString(c.Site))
	}
	for _, c := range f.Cities {
		r.put(plain, "  ")
		r.cell(bold, c.Name, name+2)
		if c.Fault != "" {
			r.put(red, "✕ no answer: "+c.Fault)
			r.end()
			continue
		}
		r.put(plain, "→ ")
		r.cell(plain, strings.Join(c.Addrs, ", "), addr+2)
		r.cell(bold, c.Site, site+2)
		r.cell(plain, fmt.Sprintf("TTL %d s", c.TTL), 11)
		r.put(dim, fmt.Sprintf("%.1f ms", float64(c.Took)/float64(time.Millisecond)))
		r.end()
	}
}

func (r *renderer) faults(f Facts) {
	r.section("BROKEN ON PURPOSE")
	if len(f.Faults) == 0 {
		r.put(dim, "  nothing")
		r.end()
	}
	for _, x := range f.Faults {
		r.put(yellow, "  ! "+x.Text)
		r.put(dim, "  heals in "+clock(x.Left))
		r.end()
	}
}

func (r *renderer) events(f Facts) {
	r.section("EVENTS")
	for _, e := range f.Events {
		r.put(dim, "  "+e.At.Format(time.TimeOnly)+"  ")
		r.put(plain, e.Text)
		r.end()
	}
}

func (r *renderer) keys(f Facts) {
	r.end()
	for _, k := range [][2]string{
		{fmt.Sprintf("1-%d", max(1, min(len(f.Sites), 9))), "lose/heal a site"}, {"tab", "choose a site >"}, {"d", "kill its director"}, {"s", "slow it"},
		{"g", "cut gossip"}, {"h", "heal all"}, {"q", "quit"},
	} {
		if r.at > 0 && r.at+2+utf8.RuneCountInString(k[0]+k[1])+3 > r.width {
			r.end()
		}
		if r.at > 0 {
			r.put(plain, "  ")
		}
		r.put(bold, "["+k[0]+"]")
		r.put(plain, " "+k[1])
	}
	r.end()
}

// clock is d as minutes and seconds, rounded up so that what is left is never 0:00.
func clock(d time.Duration) string {
	s := int64((max(d, 0) + time.Second - 1) / time.Second)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// clean takes out what would move the cursor or change the terminal: some of these texts come from the network.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return ' '
		case !unicode.IsPrint(c):
			return -1
		}
		return c
	}, s)
}
