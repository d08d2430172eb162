package zone

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// wireName writes random labels, behind room for a word. Few letters make names meet.
func wireName(rng *rand.Rand, labels int) []byte {
	b := make([]byte, wordOctets)
	for range labels {
		n := 1 + rng.IntN(1+rng.IntN(10))
		b = append(b, byte(n))
		for range n {
			b = append(b, "aAbZ\x00\xc1\x7f@["[rng.IntN(9)])
		}
	}
	return append(b, 0)
}

// asciiLower folds octet by octet.
func asciiLower(b []byte) []byte {
	b = bytes.Clone(b)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// Parts of names have equal hashes, and are each other, when they are equal but for the case of ASCII letters.
func TestWireNameFolds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	equal := 0
	for range 20_000 {
		a, b := wireName(rng, rng.IntN(5)), wireName(rng, rng.IntN(5))
		if rng.IntN(4) == 0 {
			b = append(make([]byte, wordOctets), bytes.ToUpper(a[wordOctets:])...)
			if len(b) != len(a) { // upper case of octets that are no ASCII
				b = bytes.Clone(a)
			}
		}
		var p, q WireName
		if end, ok := p.Read(a, wordOctets); !ok || end != len(a) {
			t.Fatalf("%x: %d, %v", a, end, ok)
		}
		q.Read(b, wordOctets)
		stored := asciiLower(b)
		for i := range p.labels + 1 {
			for j := range q.labels + 1 {
				part := stored[wordOctets+int(q.at[j]):]
				want := bytes.Equal(asciiLower(a[wordOctets+int(p.at[i]):]), part)
				if got := p.is(i, part, 0); got != want {
					t.Fatalf("seed %d: %x label %d is %x label %d: %v", seed, a, i, b, j, got)
				}
				if (p.hash(i) == q.hash(j)) != want {
					t.Fatalf("seed %d: %x label %d and %x label %d: hashes %x and %x", seed, a, i, b, j, p.hash(i), q.hash(j))
				}
				if want && i+j > 0 {
					equal++
				}
			}
		}
	}
	if equal < 1000 {
		t.Errorf("only %d equal names: the test proves little", equal)
	}
}

func TestWireNameRead(t *testing.T) {
	front := strings.Repeat("\x00", wordOctets)
	label := "\x3f" + strings.Repeat("a", 63)
	for _, tt := range []struct {
		name string
		wire string
		end  int // 0 = no name
	}{
		{"root", "\x00", 9},
		{"octets behind", "\x01a\x00\x00\x01\x00\x01", 11},
		{"255 octets", strings.Repeat(label, 3) + "\x3d" + strings.Repeat("b", 61) + "\x00", 8 + 255},
		{"256 octets", strings.Repeat(label, 3) + "\x3e" + strings.Repeat("b", 62) + "\x00", 0},
		{"127 labels", strings.Repeat("\x01a", 127) + "\x00", 8 + 255},
		{"128 labels", strings.Repeat("\x01a", 128) + "\x00", 0},
		{"label of 64", "\x40" + strings.Repeat("a", 64) + "\x00", 0},
		{"compression pointer", "\xc0\x00", 0},
		{"label cut", "\x05abc", 0},
		{"no root", "\x03abc", 0},
		{"nothing", "", 0},
	} {
		var q WireName
		end, ok := q.Read([]byte(front+tt.wire), wordOctets)
		if end != tt.end || ok != (tt.end > 0) {
			t.Errorf("%s: %d, %v, want %d", tt.name, end, ok, tt.end)
		}
	}
}
