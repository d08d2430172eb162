package shop

import "fmt"

// Currency is the only currency of the shop (ISO 4217).
const Currency = "EUR"

// Money is an amount in minor units: cents.
type Money int64

// String returns "12.90 EUR".
func (m Money) String() string {
	sign := ""
	u := uint64(m)
	if m < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, u/100, u%100, Currency)
}
