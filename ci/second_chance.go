package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// secondChance tests packages once more that failed. Tests of fleets and sockets wait for conditions, with patience; a
// machine whose cores are taken away for long enough outlasts any patience, and shows nothing about the code.
type secondChance struct {
	out    io.Writer
	passed []string // packages that failed at first
}

// test runs the tests of packages, and again the failed ones, one at a time.
func (s *secondChance) test(packages []string, run func(out io.Writer, packages []string, more ...string) error) error {
	var said bytes.Buffer
	err := run(io.MultiWriter(s.out, &said), packages)
	if err == nil {
		return nil
	}
	failed := failedTests(said.String())
	if len(failed) == 0 {
		return err
	}
	fmt.Fprintf(s.out, "== once more, with the machine to themselves: %s\n", strings.Join(failed, " "))
	if err := run(s.out, failed, "-p", "1", "-count", "1"); err != nil {
		return err
	}
	s.passed = append(s.passed, failed...)
	return nil
}

var (
	failedPackage = regexp.MustCompile(`(?m)^FAIL\t(\S+)\t[0-9.]+s$`)
	neverForgiven = regexp.MustCompile(`(?m)^(WARNING: DATA RACE|panic: |fatal error: |FAIL\t\S+ \[(build|setup) failed\])`)
)

// failedTests lists the packages in the output of go test whose tests failed, none if something failed that no load can
// explain.
func failedTests(output string) (packages []string) {
	if neverForgiven.MatchString(output) {
		return nil
	}
	for _, m := range failedPackage.FindAllStringSubmatch(output, -1) {
		packages = append(packages, m[1])
	}
	return packages
}
