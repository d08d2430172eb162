// Package mmdb loads geographic databases into a [geo.World] and loads them again when their files change.
//
// It reads MaxMind DB files of three shapes: City or Country records as MaxMind and DB-IP write them, ASN records,
// and the flat records of other vendors (country_code, city, latitude, longitude, asn and the like, as strings or
// numbers). Which shape a file has is decided by its records, not by its name. The layers are Country, City, ASN,
// then the operator's CIDR map, the later one winning field by field.
//
// Files are read into memory, not mapped: whoever truncates a mapped file kills the process that reads it. Nothing
// of a file is kept once its layer is in the world.
package mmdb
