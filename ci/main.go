// Command ci passes every check of the project: `go run ./ci`. It does its own set-up and says what it could not do.
//
// Checks, in order: gofmt, go vet, staticcheck, go mod tidy, go test, the shop's SQL against CockroachDB's grammar, a
// walk through the demo with a browser, and the compose file as Compose reads it. With a docker engine, go test builds the
// compose world, plays drills on it and takes it down. With a C compiler the tests run under the race detector.
// A package whose tests fail is tested once more with the machine to itself, unless what failed was a data race or a
// panic: the end of the output names those that passed only then.
//
// On a Debian-like machine where it may install packages, it installs what the tests can use (a C compiler, DNS clients
// and resolvers, keepalived, haproxy, dnsdist, dnstap's readers, PostgreSQL, Chromium) and is missing, without starting
// services; elsewhere tests that want one of them say that they were skipped, and so does the end of the output.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "ci: %v\n", err)
		os.Exit(1)
	}
}

// aptPackages names the Debian package of each program the tests can use. Where a program is not in PATH, glob may
// find it.
var aptPackages = []struct{ program, pkg, glob, without string }{
	{program: "gcc", pkg: "gcc libc6-dev", without: "NO RACE DETECTOR: it needs a C compiler"},
	{program: "dig", pkg: "bind9-dnsutils", without: "NOT ASKED BY dig"},
	{program: "delv", pkg: "bind9-dnsutils", without: "NOT ASKED BY delv"},
	{program: "kdig", pkg: "knot-dnsutils", without: "NOT ASKED BY kdig"},
	{program: "drill", pkg: "ldnsutils", without: "NOT ASKED BY drill"},
	{program: "unbound", pkg: "unbound", glob: "/usr/sbin/unbound", without: "NO unbound RESOLVED FROM MERIDIAN"},
	{program: "named", pkg: "bind9", glob: "/usr/sbin/named", without: "NO named RESOLVED FROM MERIDIAN"},
	{program: "keepalived", pkg: "keepalived", without: "DIRECTORS NOT CHECKED BY keepalived"},
	{program: "haproxy", pkg: "haproxy", without: "DIRECTORS NOT CHECKED BY haproxy, DNS NOT TRIED BEHIND IT"},
	{program: "dnsdist", pkg: "dnsdist", without: "DNS NOT TRIED BEHIND dnsdist"},
	{program: "dnstap-ldns", pkg: "dnstap-ldns", without: "DNSTAP NOT READ BY dnstap-ldns"},
	{program: "fstrm_dump", pkg: "fstrm-bin", without: "DNSTAP NOT READ BY fstrm_dump"},
	{program: "initdb", pkg: "postgresql", glob: "/usr/lib/postgresql/*/bin/initdb", without: "SHOP NOT RUN ON POSTGRESQL: no initdb"},
	{program: "mmdebstrap", pkg: "mmdebstrap", without: "NO STAND-INS FOR IMAGES OF A REGISTRY THAT DOES NOT ANSWER: no mmdebstrap"},
	{program: "chromium", pkg: "chromium", glob: "/usr/bin/google-chrome", without: "DEMO NOT WALKED THROUGH WITH A BROWSER: no chromium"},
}

// nested are the modules that have dependencies which nothing else needs.
var nested = []struct{ dir, name string }{
	{"test/crdbgrammar", "CockroachDB's grammar"},
	{"test/browser", "the demo in a browser"},
	{"test/compose", "the compose file"},
}

// installed reports whether a program is there.
func installed(program, glob string) bool {
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	found, _ := filepath.Glob(glob) // well formed
	return len(found) > 0
}

// without lists what the machine kept the checks from doing.
func without(ctx context.Context) (all []string) {
	for _, p := range aptPackages {
		if !installed(p.program, p.glob) {
			all = append(all, p.without)
		}
	}
	if os.Getenv("COCKROACH_BINARY") == "" && os.Getenv("SHOP_TEST_CRDB_URL") == "" {
		all = append(all, "SHOP NOT RUN ON COCKROACHDB: neither COCKROACH_BINARY nor SHOP_TEST_CRDB_URL is set; its grammar read every statement")
	}
	asking, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if exec.CommandContext(asking, "docker", "version").Run() != nil {
		all = append(all, "NO DRILL PLAYED ON CONTAINERS: no docker engine answers")
	}
	return all
}

func run(ctx context.Context, out io.Writer) error {
	install(ctx, out)
	race := []string{"test"}
	if installed("gcc", "") {
		race = append(race, "-race")
	}
	type check struct {
		name string
		run  func() error
	}
	again := &secondChance{out: out}
	checks := []check{
		{"gofmt", func() error { return gofmt(ctx) }},
		{"go vet", func() error { return command(ctx, out, "go", "vet", "./...") }},
		{"staticcheck", func() error { return command(ctx, out, "go", "tool", "staticcheck", "./...") }},
		{"go mod tidy", func() error { return command(ctx, out, "go", "mod", "tidy", "-diff") }},
		{"go " + strings.Join(race, " "), func() error { return test(ctx, out, race, again) }},
	}
	for _, m := range nested {
		in := func(args ...string) func() error {
			return func() error { return command(ctx, out, "go", append([]string{"-C", m.dir}, args...)...) }
		}
		tested := func(w io.Writer, packages []string, more ...string) error {
			return command(ctx, w, "go", slices.Concat([]string{"-C", m.dir, "test", "-timeout", "20m"}, more, packages)...)
		}
		checks = append(checks,
			check{"go vet, " + m.name, in("vet", "./...")},
			check{"go mod tidy, " + m.name, in("mod", "tidy", "-diff")},
			check{"go test, " + m.name, func() error { return again.test([]string{"./..."}, tested) }},
		)
	}
	var faults []error
	for _, c := range checks {
		start := time.Now()
		fmt.Fprintf(out, "== %s\n", c.name)
		if err := c.run(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.name, err))
			fmt.Fprintf(out, "== %s: FAILED: %v\n", c.name, err)
			continue
		}
		fmt.Fprintf(out, "== %s: ok, %.1f s\n", c.name, time.Since(start).Seconds())
	}
	for _, pkg := range again.passed {
		fmt.Fprintf(out, "== PASSED ONLY AT THE SECOND TRY: %s\n", pkg)
	}
	for _, w := range without(ctx) {
		fmt.Fprintf(out, "== %s\n", w)
	}
	return errors.Join(faults...)
}

// alone are the packages whose tests run whole fleets against the clock: they get the machine to themselves.
var alone = []string{"/cmd/demo", "/demo/lab", "/node", "/test/lab"}

// test runs all tests, those that want the machine to themselves last and one after the other.
func test(ctx context.Context, out io.Writer, race []string, again *secondChance) error {
	list, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	var together, last []string
	for _, pkg := range strings.Fields(string(list)) {
		if slices.ContainsFunc(alone, func(suffix string) bool { return strings.HasSuffix(pkg, suffix) }) {
			last = append(last, pkg)
		} else {
			together = append(together, pkg)
		}
	}
	run := func(packages []string, args ...string) error {
		return again.test(packages, func(w io.Writer, packages []string, more ...string) error {
			return command(ctx, w, "go", slices.Concat(race, args, more, packages)...)
		})
	}
	// Images that are built for the first time take as long as all drills on them.
	return errors.Join(run(together, "-timeout", "20m"), run(last, "-timeout", "50m", "-p", "1"))
}

// install adds missing programs where that needs no question: as root, with apt-get.
func install(ctx context.Context, out io.Writer) {
	var missing []string
	for _, p := range aptPackages {
		if !installed(p.program, p.glob) {
			missing = append(missing, strings.Fields(p.pkg)...)
		}
	}
	if len(missing) == 0 {
		return
	}
	_, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		fmt.Fprintf(out, "== not installed, and not installable from here: %s\n", strings.Join(missing, " "))
		return
	}
	fmt.Fprintf(out, "== installing %s\n", strings.Join(missing, " "))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := command(ctx, io.Discard, "apt-get", "-qq", "update"); err != nil {
		fmt.Fprintf(out, "== apt-get update: %v: going on without\n", err)
		return
	}
	add := func(packages ...string) error {
		args := append([]string{"-qq", "-y", "--no-install-recommends", "install"}, packages...)
		return withoutDaemons("/usr/sbin/policy-rc.d", func() error { return command(ctx, io.Discard, "apt-get", args...) })
	}
	if add(missing...) == nil {
		return
	}
	// One that this distribution does not have keeps apt-get from installing the others.
	for _, p := range missing {
		if err := add(p); err != nil {
			fmt.Fprintf(out, "== apt-get install %s: %v: going on without\n", p, err)
		}
	}
}

// withoutDaemons installs packages and leaves their services stopped: the tests start what they need on ports of
// their own, and nobody asked for a resolver on port 53. policy is the file that Debian asks; one that is there
// already stays.
func withoutDaemons(policy string, install func() error) error {
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, os.ErrExist) {
		return install()
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n") // action forbidden
	err = errors.Join(err, f.Close())
	if err == nil {
		err = install()
	}
	return errors.Join(err, os.Remove(policy))
}

func gofmt(ctx context.Context) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	program := filepath.Join(strings.TrimSpace(string(root)), "bin", "gofmt")
	list, err := exec.CommandContext(ctx, program, "-l", ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, list)
	}
	if len(list) > 0 {
		return fmt.Errorf("not formatted: %s", strings.Join(strings.Fields(string(list)), " "))
	}
	return nil
}

func command(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd.Run()
}
