package mmdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"os"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gtm/meridian/filewatch"
	"github.com/meridian-gtm/meridian/geo"
)

// Files names the sources of a world, each optional.
type Files struct {
	Country string // Country database, MaxMind or flat: continent and country
	City    string // City, Enterprise or Country database, MaxMind or flat: everything that its records say
	ASN     string // ASN or ISP database, MaxMind or flat: autonomous system numbers
	CIDRMap string // the operator's text file, see [geo.ParseCIDRMap]
}

// source is one file and the part it plays.
type source struct{ role, file string }

// The roles, in the order of their layers.
const (
	roleCountry = "country"
	roleCity    = "city"
	roleASN     = "asn"
	roleCIDRMap = "cidr-map"
)

// sources returns the files that are named, in the order of their layers.
func (f Files) sources() []source {
	var out []source
	for _, s := range []source{
		{roleCountry, f.Country}, {roleCity, f.City}, {roleASN, f.ASN}, {roleCIDRMap, f.CIDRMap},
	} {
		if s.file != "" {
			out = append(out, s)
		}
	}
	return out
}

// Info describes a loaded world, for status, metrics and logs.
type Info struct {
	Databases []Database    `json:"databases"` // in the order of their layers
	Networks  int           `json:"networks"`  // prefixes of the world, both families
	Places    int           `json:"places"`    // distinct places, the unknown one included
	Digest    string        `json:"digest"`    // of the world
	Took      time.Duration `json:"took"`      // to load

	stamps filewatch.Stamps // of the files as they were read
}

// Database describes one source of a world.
type Database struct {
	Role     string    `json:"role"` // "country", "city", "asn" or "cidr-map"
	File     string    `json:"file"`
	Type     string    `json:"type"`     // the file's own word: "GeoLite2-City"; "cidr-map" for a CIDR map
	Built    time.Time `json:"built"`    // when the vendor built it; modification time of a CIDR map
	Networks int       `json:"networks"` // networks it describes
}

// Load reads the files and makes their world; without any file it is a world that knows nothing. The error joins
// what is wrong with each file and names it; world and info are then nothing.
func Load(files Files) (*geo.World, Info, error) { return load(context.Background(), files) }

// load is Load that gives up soon after ctx is done.
func load(ctx context.Context, files Files) (*geo.World, Info, error) {
	start := time.Now()
	info := Info{stamps: filewatch.Stamp(files.names()...)}
	var (
		b    geo.Builder
		errs []error
	)
	for _, s := range files.sources() {
		db, err := s.add(ctx, &b)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", s.role, s.file, err))
			b = geo.Builder{} // nothing will come of this load, but the other files are still checked
		}
		info.Databases = append(info.Databases, db)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, Info{}, err
	}
	w := b.World()
	info.Networks, info.Places, info.Digest = w.Len(), w.PlaceCount(), w.Digest()
	info.Took = time.Since(start)
	return w, info, nil
}

// add lays the file over what b has.
func (s source) add(ctx context.Context, b *geo.Builder) (Database, error) {
	db := Database{Role: s.role, File: s.file}
	text, err := os.ReadFile(s.file)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return db, pathErr.Err // the caller names the file
	}
	if err != nil {
		return db, err
	}
	if s.role == roleCIDRMap {
		return db, s.addCIDRMap(b, text, &db)
	}
	reader, err := maxminddb.OpenBytes(text)
	if err != nil {
		return db, err
	}
	defer reader.Close()
	db.Type, db.Built = reader.Metadata.DatabaseType, reader.Metadata.BuildTime().UTC()
	decode, err := sniff(reader, s.role)
	if err != nil {
		return db, err
	}
	l := layer{ctx: ctx, reader: reader, decode: decode}
	err = b.Add(l.networks)
	db.Networks = l.count
	return db, errors.Join(l.err, err)
}

func (s source) addCIDRMap(b *geo.Builder, text []byte, db *Database) error {
	networks, err := geo.ParseCIDRMap(s.file, text)
	if err != nil {
		return err
	}
	db.Type, db.Networks = roleCIDRMap, len(networks)
	if stat, err := os.Stat(s.file); err == nil {
		db.Built = stat.ModTime().UTC()
	}
	return b.Add(geo.Layer(networks...))
}

// layer walks the networks of one database.
type layer struct {
	ctx    context.Context
	reader *maxminddb.Reader
	decode decoder
	count  int // networks with data
	err    error
}

// maxCached is how many decoded places are remembered. MaxMind's databases have some 200,000 distinct records;
// databases with a record for each network gain nothing from a larger cache.
const maxCached = 1 << 18

// networks is the sequence that a [geo.Builder] takes. It ends early with l.err set.
func (l *layer) networks(yield func(netip.Prefix, geo.Place) bool) {
	cache := map[uintptr]geo.Place{}
	for result, err := range walk(l.reader) {
		if l.err = err; err != nil {
			return
		}
		if l.count%4096 == 0 && l.ctx.Err() != nil {
			l.err = l.ctx.Err()
			return
		}
		prefix := result.Prefix()
		if prefix.Addr().Is4In6() {
			continue
		}
		place, ok := cache[result.Offset()]
		if !ok {
			if place, l.err = l.decode(result); l.err != nil {
				l.err = fmt.Errorf("network %s: %w", prefix, l.err)
				return
			}
			if len(cache) == maxCached {
				clear(cache)
			}
			cache[result.Offset()] = place
		}
		l.count++
		// IPv4 lies at ::/96 of an IPv6 tree, so a leaf above it speaks for all of IPv4 too.
		if prefix.Addr().Is6() && prefix.Addr().IsUnspecified() && !yield(netip.PrefixFrom(netip.IPv4Unspecified(), 0), place) {
			return
		}
		if !yield(prefix, place) {
			return
		}
	}
}

// walk returns the networks with data in ascending order, IPv4 first, up to the first error.
func walk(reader *maxminddb.Reader) iter.Seq2[maxminddb.Result, error] {
	return func(yield func(maxminddb.Result, error) bool) {
		// A tree has one leaf more than nodes. A damaged one whose nodes share children could have any number.
		nodes := reader.Metadata.NodeCount
		left := 2 * (nodes + 1)
		for result := range reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
			if left == 0 {
				yield(result, fmt.Errorf("search tree: more than twice as many leaves as its %d nodes: want a tree", nodes))
				return
			}
			left--
			if err := result.Err(); err != nil {
				yield(result, err)
				return
			}
			if result.Found() && !yield(result, nil) {
				return
			}
		}
	}
}
