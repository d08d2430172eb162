package mmdb

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gtm/meridian/geo"
)

// decoder turns a database record into what its role may say about a place.
type decoder func(maxminddb.Result) (geo.Place, error)

// maxSniffed is how many networks are tried before a database is said to have nothing to offer: some begin with
// records that only say "anycast".
const maxSniffed = 10_000

// sniff chooses the decoder by the first record that has what the role is about.
func sniff(reader *maxminddb.Reader, role string) (decoder, error) {
	want := "a City, Country or flat database with places"
	if role == roleASN {
		want = "an ASN, ISP or flat database with autonomous system numbers"
	}
	tried := 0
	for result, err := range walk(reader) {
		if err != nil {
			return nil, err
		}
		if tried == maxSniffed {
			break
		}
		tried++
		var fields map[string]any
		if err := result.Decode(&fields); err != nil {
			return nil, fmt.Errorf("network %s: %w", result.Prefix(), err)
		}
		if decode := choose(fields, role); decode != nil {
			return decode, nil
		}
	}
	return nil, fmt.Errorf("database type %q, %d records tried: want %s", reader.Metadata.DatabaseType, tried, want)
}

// choose returns the decoder for a record, or nil when the record does not tell.
func choose(fields map[string]any, role string) decoder {
	if role == roleASN {
		if _, ok := fields["autonomous_system_number"]; ok {
			return decodeASN
		}
	} else {
		for _, key := range [...]string{"continent", "country", "registered_country", "city", "location"} {
			if _, nested := fields[key].(map[string]any); nested {
				return maxmindPlace(role)
			}
		}
	}
	flat := flatPlace(role)
	place := flat(flatOf(fields))
	if role != roleASN {
		place.ASN = 0 // an ASN database is no place database
	}
	if place != (geo.Place{}) {
		return func(result maxminddb.Result) (geo.Place, error) {
			var r flatRecord
			err := result.Decode(&r)
			return flat(r), err
		}
	}
	return nil
}

// maxmindPlace decodes City, Enterprise and Country records.
func maxmindPlace(role string) decoder {
	return func(result maxminddb.Result) (geo.Place, error) {
		var r geoip2.City // Country's fields are a part of it
		if err := result.Decode(&r); err != nil {
			return geo.Place{}, err
		}
		p := geo.Place{Continent: r.Continent.Code, Country: r.Country.ISOCode}
		if role == roleCountry {
			return p, nil
		}
		p.City = r.City.Names.English
		if len(r.Subdivisions) > 0 {
			p.Subdivision = r.Subdivisions[0].ISOCode
		}
		if r.Location.HasCoordinates() {
			p.Located, p.Coord = true, geo.Coord{Lat: *r.Location.Latitude, Lon: *r.Location.Longitude}
		}
		return p, nil
	}
}

func decodeASN(result maxminddb.Result) (geo.Place, error) {
	var r geoip2.ASN
	if err := result.Decode(&r); err != nil {
		return geo.Place{}, err
	}
	if r.AutonomousSystemNumber > math.MaxUint32 {
		return geo.Place{}, fmt.Errorf("autonomous_system_number: %d: want 0..4294967295", r.AutonomousSystemNumber)
	}
	return geo.Place{ASN: uint32(r.AutonomousSystemNumber)}, nil
}

// flatRecord has the names that vendors give to the fields of flat records. Values are strings or numbers.
type flatRecord struct {
	ContinentCode any `maxminddb:"continent_code"`
	Continent     any `maxminddb:"continent"`

	CountryCode    any `maxminddb:"country_code"`
	CountryISOCode any `maxminddb:"country_iso_code"`
	Country        any `maxminddb:"country"`

	SubdivisionCode any `maxminddb:"subdivision_code"`
	RegionCode      any `maxminddb:"region_code"`
	StateCode       any `maxminddb:"state_code"`

	City     any `maxminddb:"city"`
	CityName any `maxminddb:"city_name"`

	Latitude  any `maxminddb:"latitude"`
	Lat       any `maxminddb:"lat"`
	Longitude any `maxminddb:"longitude"`
	Lng       any `maxminddb:"lng"`
	Lon       any `maxminddb:"lon"`

	ASN      any `maxminddb:"asn"`
	ASNumber any `maxminddb:"as_number"`
	Number   any `maxminddb:"autonomous_system_number"`
}

func flatOf(fields map[string]any) flatRecord {
	return flatRecord{
		ContinentCode: fields["continent_code"], Continent: fields["continent"],
		CountryCode: fields["country_code"], CountryISOCode: fields["country_iso_code"], Country: fields["country"],
		SubdivisionCode: fields["subdivision_code"], RegionCode: fields["region_code"], StateCode: fields["state_code"],
		City: fields["city"], CityName: fields["city_name"],
		Latitude: fields["latitude"], Lat: fields["lat"],
		Longitude: fields["longitude"], Lng: fields["lng"], Lon: fields["lon"],
		ASN: fields["asn"], ASNumber: fields["as_number"], Number: fields["autonomous_system_number"],
	}
}

// flatPlace returns what a role takes from a flat record. Whatever is not a code, a number or a coordinate of the
// right form is unknown: vendors write "-", "" or a long name there.
func flatPlace(role string) func(flatRecord) geo.Place {
	return func(r flatRecord) geo.Place {
		if role == roleASN {
			return geo.Place{ASN: asn(r.ASN, r.ASNumber, r.Number)}
		}
		p := geo.Place{
			Continent: code(2, 2, r.ContinentCode, r.Continent),
			Country:   code(2, 2, r.CountryCode, r.CountryISOCode, r.Country),
		}
		if role == roleCountry {
			return p
		}
		p.Subdivision = code(1, 3, r.SubdivisionCode, r.RegionCode, r.StateCode)
		p.City = text(r.City, r.CityName)
		p.ASN = asn(r.ASN, r.ASNumber, r.Number)
		lat, okLat := number(r.Latitude, r.Lat)
		lon, okLon := number(r.Longitude, r.Lng, r.Lon)
		onEarth := lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180
		if okLat && okLon && onEarth && (lat != 0 || lon != 0) { // 0, 0 is how vendors write "unknown"
			p.Located, p.Coord = true, geo.Coord{Lat: lat, Lon: lon}
		}
		return p
	}
}

// text returns the first value that is a known text.
func text(values ...any) string {
	for _, v := range values {
		if s, ok := v.(string); ok && s != "" && s != "-" {
			return s
		}
	}
	return ""
}

// code returns the first value that is low..high capital letters or digits, without a country before it ("US-NY").
func code(low, high int, values ...any) string {
	for _, v := range values {
		s := text(v)
		if i := strings.LastIndexByte(s, '-'); i == 2 {
			s = s[i+1:]
		}
		if len(s) >= low && len(s) <= high && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" {
			return s
		}
	}
	return ""
}

// number returns the first value that is a number, or a text that spells one.
func number(values ...any) (float64, bool) {
	for _, v := range values {
		switch v := v.(type) {
		case float64:
			return v, true
		case float32:
			return float64(v), true
		case uint64:
			return float64(v), true
		case int:
			return float64(v), true
		case string:
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				return f, true
			}
		}
	}
	return 0, false
}

// asn returns the first value that is an autonomous system number: 64500, "64500" or "AS64500".
func asn(values ...any) uint32 {
	for _, v := range values {
		if s, ok := v.(string); ok {
			v = strings.TrimPrefix(s, "AS")
		}
		if f, ok := number(v); ok && f >= 1 && f <= math.MaxUint32 && f == math.Trunc(f) {
			return uint32(f)
		}
	}
	return 0
}
