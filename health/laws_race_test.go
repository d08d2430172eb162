//go:build race

package health

// inputsPerLaw is small under the race detector, which the pure functions give nothing to find.
const inputsPerLaw = 1_000
