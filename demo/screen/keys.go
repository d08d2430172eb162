package screen

// Action is what somebody at the keyboard asks for.
type Action struct {
	Do   Do
	Site int // index into Facts.Sites: of ToggleSite, KillDirector and SlowSite
}

// Do is the kind of an action.
type Do uint8

// The actions. Run handles choosing a site and quitting itself.
const (
	ToggleSite   Do = iota + 1 // lose the site, or heal it when it is lost
	KillDirector               // the one that holds the site's VIP
	SlowSite
	CutGossip // between all sites
	HealAll
	next
	previous
	quit
)

// decode reads what a terminal in raw mode sends. Several keys may come at once; what means nothing is skipped.
func decode(b []byte) (all []Action) {
	for len(b) > 0 {
		used := 1
		var a Action
		switch c := b[0]; {
		case c >= '1' && c <= '9':
			a = Action{Do: ToggleSite, Site: int(c - '1')}
		case c == 'd' || c == 'D':
			a.Do = KillDirector
		case c == 's' || c == 'S':
			a.Do = SlowSite
		case c == 'g' || c == 'G':
			a.Do = CutGossip
		case c == 'h' || c == 'H':
			a.Do = HealAll
		case c == '\t' || c == 'j':
			a.Do = next
		case c == 'k':
			a.Do = previous
		case c == 'q' || c == 'Q' || c == 0x03 || c == 0x04: // Ctrl-C and Ctrl-D are bytes in raw mode
			a.Do = quit
		case c == 0x1b && len(b) >= 3 && (b[1] == '[' || b[1] == 'O'):
			used = 2
			for used < len(b)-1 && (b[used] < 0x40 || b[used] > 0x7e) { // parameters of a control sequence
				used++
			}
			switch b[used] {
			case 'A', 'Z': // up, shift-tab
				a.Do = previous
			case 'B':
				a.Do = next
			}
			used++
		}
		if a.Do != 0 {
			all = append(all, a)
		}
		b = b[used:]
	}
	return all
}
