package config

import (
	"cmp"
	"crypto/x509"
	"errors"
	"os"
	"regexp"
	"strconv"

	"github.com/meridian-gtm/meridian/dnsserver/zone"
)

// Check reads the file at path as [LoadWith] does, and then what it names: the zones, the CA files of the checks and
// whatever the given functions read, such as databases, which are called only with a valid configuration. It returns
// the faults of all of them together. The error is of type [Faults] when the file could be read.
func Check(path string, o Overrides, more ...func(*Config) error) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := read(path, data, o)
	faults := r.doc.faults
	valid := len(faults) == 0
	if valid {
		for _, k := range r.config.Checks {
			if k.CAFile != "" {
				faults = append(faults, faultsOf(k.CAFile, checkCA(k.CAFile))...)
			}
		}
	}
	for _, source := range r.config.Zones {
		if source.File != "" {
			_, err := zone.Load(source)
			faults = append(faults, faultsOf(source.File, err)...)
		}
	}
	if valid {
		for _, check := range more {
			faults = append(faults, faultsOf(path, check(r.config))...)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return r.config, nil
}

func checkCA(file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return errors.New("no certificate: want PEM with at least one")
	}
	return nil
}

// located matches the text of an error that begins with its place.
var located = regexp.MustCompile(`^([^\n]*?):([1-9][0-9]{0,8}): ((?s:.*))$`)

// faultsOf returns the errors that are joined in err as faults. One that names no place is about file.
func faultsOf(file string, err error) Faults {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out Faults
		for _, e := range joined.Unwrap() {
			out = append(out, faultsOf(file, e)...)
		}
		return out
	}
	if faults, ok := errors.AsType[Faults](err); ok {
		return faults
	}
	f := Fault{File: file, Value: err.Error()}
	if m := located.FindStringSubmatch(f.Value); m != nil {
		line, _ := strconv.Atoi(m[2]) // nine digits at most
		f.File, f.Line, f.Value = cmp.Or(m[1], file), line, m[3]
	}
	return Faults{f}
}
