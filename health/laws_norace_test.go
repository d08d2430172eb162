//go:build !race

package health

// inputsPerLaw is how many random inputs each law is tried on.
const inputsPerLaw = 10_500
