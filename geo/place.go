package geo

// Coord is a point on the earth in degrees: Lat -90..90, Lon -180..180.
type Coord struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// Place is what is known about one network. Empty fields are unknown. Places are comparable; the zero Place is
// "nothing known".
type Place struct {
	Continent   string `json:"continent,omitempty"`   // two-letter code: AF AN AS EU NA OC SA
	Country     string `json:"country,omitempty"`     // ISO 3166-1 alpha-2
	Subdivision string `json:"subdivision,omitempty"` // ISO 3166-2 without the country: "NY"
	City        string `json:"city,omitempty"`        // English name
	ASN         uint32 `json:"asn,omitempty"`
	Label       string `json:"label,omitempty"` // operator's name for the network, from the CIDR map
	Sites       string `json:"sites,omitempty"` // operator's ordered site names for the network, comma separated
	Coord       Coord  `json:"coord"`           // kept to a millionth of a degree, 11 cm
	Located     bool   `json:"located"`         // Coord is known
}
