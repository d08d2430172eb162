package whatif

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Demand is how much one client network asks of one service.
type Demand struct {
	Client  netip.Prefix // what it sends as EDNS Client Subnet, or the resolver's address
	Count   float64      // queries, or anything else that is proportional to load; above 0
	Service string
}

// maxDemands bounds a file.
const maxDemands = 5_000_000

// ReadDemand reads a line for each client network: PREFIX COUNT [SERVICE]. # begins a comment. Lines without a
// service are for the given one. It reports every fault, with its line.
func ReadDemand(name string, r io.Reader, service string) ([]Demand, error) {
	var all []Demand
	var faults []error
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		d, err := parseDemand(words, service)
		if err != nil {
			if faults = append(faults, fmt.Errorf("%s:%d: %w", name, n, err)); len(faults) == 20 {
				break
			}
			continue
		}
		if len(all) == maxDemands {
			return nil, fmt.Errorf("%s:%d: more than %d client networks", name, n, maxDemands)
		}
		all = append(all, d)
	}
	if err := scanner.Err(); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", name, err))
	}
	if len(all) == 0 && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%s: nothing in it: want lines of PREFIX COUNT [SERVICE]", name))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return all, nil
}

func parseDemand(words []string, service string) (Demand, error) {
	if len(words) < 2 || len(words) > 3 {
		return Demand{}, fmt.Errorf("%d words: want PREFIX COUNT [SERVICE]", len(words))
	}
	d := Demand{Service: service}
	prefix, err := netip.ParsePrefix(words[0])
	if addr, addrErr := netip.ParseAddr(words[0]); addrErr == nil {
		prefix, err = addr.Unmap().WithZone("").Prefix(addr.Unmap().BitLen())
	}
	if err != nil || prefix.Masked() != prefix {
		return d, fmt.Errorf("%q: want an address, or a prefix without host bits", words[0])
	}
	d.Client = prefix
	d.Count, err = strconv.ParseFloat(words[1], 64)
	if err != nil || !(d.Count > 0) || math.IsInf(d.Count, 0) {
		return d, fmt.Errorf("count %q: want a number above 0", words[1])
	}
	if len(words) == 3 {
		d.Service = words[2]
	}
	if d.Service == "" {
		return d, errors.New("no service: want its name after the count, or one for all lines")
	}
	return d, nil
}
