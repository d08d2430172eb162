package zone

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/miekg/dns"
)

// Source is where one zone comes from.
type Source struct {
	Origin string            // "shop.example." or without the final dot
	File   string            // master file; $INCLUDE may name files in its directory or below only
	Steer  map[string]string // owner, relative to the origin or absolute, "@" = apex, "*" labels allowed -> service
}

// Loader loads zones, one after the other, and keeps the memory that one took for the next. The zero value is ready. It
// serves one goroutine.
type Loader struct {
	inputs  [maxIncludeDepth + 1]*entries // by depth
	records []record
}

// Load reads and checks one zone. The error joins every fault, up to 200, each as
// "FILE:LINE: owner type: what: want ...". While there are faults of syntax, those of absence (no SOA, no NS, no
// glue) are not reported, for what is missing may be what could not be read.
//
// $INCLUDE takes relative paths, beginning at the including file; "..", control characters, symbolic links that lead out of
// the master file's directory, loops and more than 8 levels are faults.
func Load(src Source) (*Zone, error) { return new(Loader).Load(src) }

// Load is the function [Load].
func (l *Loader) Load(src Source) (*Zone, error) {
	f, err := os.Open(src.File)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", src.Origin, err)
	}
	defer f.Close()
	dir := directory{path: filepath.Dir(src.File)}
	defer dir.close()
	return l.load(src, f, &dir)
}

// load is Load with the master file open, and its directory as a file system.
func (l *Loader) load(src Source, r io.Reader, dir fs.FS) (*Zone, error) {
	origin := canonical(src.Origin)
	if _, ok := dns.IsDomainName(src.Origin); !ok || !validName(origin) {
		return nil, fmt.Errorf("%s: origin %q: want a domain name", src.File, src.Origin)
	}
	m := newMaster(l, dir, filepath.Dir(src.File))
	m.read(r, m.open(nil, src.File, filepath.Base(src.File), dns.Fqdn(src.Origin)))
	defer func() {
		clear(m.records)
		l.records = m.records[:0]
	}()

	b := newBuilder(origin, m)
	b.plant(m.records)
	b.steer(src.Steer)
	b.tidy()
	b.link()
	b.check()
	if err := b.faults.join(); err != nil {
		return nil, err
	}
	return b.finish()
}

// input returns what splits a file that is read at a depth of $INCLUDE. The files above it have their own.
func (l *Loader) input(r io.Reader, depth int) *entries {
	if l.inputs[depth] == nil {
		l.inputs[depth] = &entries{r: bufio.NewReaderSize(nil, 16<<10)}
	}
	es := l.inputs[depth]
	es.r.Reset(r)
	es.line = 0
	return es
}

// directory is the one of a master file. It is opened when something is included from it, and nothing outside is.
type directory struct {
	path string
	root *os.Root
}

func (d *directory) Open(name string) (fs.File, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	return d.root.FS().Open(name)
}

// Stat is not left to Open, which waits for the other end of a pipe.
func (d *directory) Stat(name string) (fs.FileInfo, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	return fs.Stat(d.root.FS(), name)
}

func (d *directory) open() (err error) {
	if d.root == nil {
		d.root, err = os.OpenRoot(d.path)
	}
	return err
}

func (d *directory) close() {
	if d.root != nil {
		d.root.Close()
	}
}
