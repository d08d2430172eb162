// Package screen shows the demo in a terminal: the verdict on every site with its votes, what each city would be
// answered now, what is broken and what happened, and takes the keys that break and heal things.
//
// [Render] and [Lines] are pure: facts in, text out. [Run] is the shell around them: it paints frames on the
// alternate screen and gives the terminal back as it was, also after a panic. Where the output is no terminal it
// prints one line per change instead. Nothing is said by colour alone, and NO_COLOR is honoured.
package screen
