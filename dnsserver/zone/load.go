package zone

import (
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

// Load reads and checks one zone. The error joins every fault, up to 200, each as
// "FILE:LINE: owner type: what: want ...". While there are faults of syntax, those of absence (no SOA, no NS, no
// glue) are not reported, for what is missing may be what could not be read.
//
// $INCLUDE takes relative paths, beginning at the including file; "..", symbolic links that lead out of the master
// file's directory, loops and more than 8 levels are faults.
func Load(src Source) (*Zone, error) {
	f, err := os.Open(src.File)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", src.Origin, err)
	}
	defer f.Close()
	root, err := os.OpenRoot(filepath.Dir(src.File))
	if err != nil {
		return nil, fmt.Errorf("zone %s: directory of the master file: %w", src.Origin, err)
	}
	defer root.Close()
	return load(src, f, root.FS())
}

// load is Load with the master file open, and its directory as a file system.
func load(src Source, r io.Reader, dir fs.FS) (*Zone, error) {
	origin := canonical(src.Origin)
	if _, ok := dns.IsDomainName(src.Origin); !ok || !validName(origin) {
		return nil, fmt.Errorf("%s: origin %q: want a domain name", src.File, src.Origin)
	}
	m := newMaster(dir, filepath.Dir(src.File))
	m.read(r, m.open(nil, src.File, filepath.Base(src.File), dns.Fqdn(src.Origin)))

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
