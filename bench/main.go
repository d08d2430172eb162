//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plan is what to measure.
type plan struct {
	servers    []server
	sets       []string
	windows    []int // queries on their way per socket, for servers at their limit
	rates      []int // queries per second, for latency below it
	rounds     int
	duration   time.Duration
	sockets    int
	serverCore int
	loadCore   int
	networks   int
	dir        string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "echo" {
		fail(echo(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := parse(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = p.run(ctx)
	}
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse reads the flags, builds meridian when it is not given, and leaves servers out that are not installed.
func parse(ctx context.Context, args []string) (*plan, error) {
	p := &plan{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := flags.String("servers", "meridian,knot,knot-geo,gdnsd,nsd,echo", "`NAMES` to measure")
	sets := flags.String("sets", "www,mix,geo,ecs", "`NAMES` of the sets of queries")
	windows := flags.String("windows", "16,64", "`NUMBERS` of queries on their way per socket, for full load; empty = none")
	rates := flags.String("rates", "20000,100000", "`NUMBERS` of queries per second, for latency; empty = none")
	flags.IntVar(&p.rounds, "rounds", 5, "each server's turns")
	flags.DurationVar(&p.duration, "duration", 2*time.Second, "of one measurement")
	flags.IntVar(&p.sockets, "sockets", 8, "from which queries come")
	flags.IntVar(&p.serverCore, "server-core", 0, "the servers' core")
	flags.IntVar(&p.loadCore, "load-core", runtime.NumCPU()-1, "the load's core")
	flags.IntVar(&p.networks, "networks", 100_000, "prefixes of clients that servers know")
	flags.StringVar(&p.dir, "dir", "", "`DIRECTORY` for all files; empty = a new one")
	meridian := flags.String("meridian", "", "`FILE` to measure; empty = built from this tree")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var errs []error
	for _, list := range []struct {
		flag, text string
		into       *[]int
		high       int
	}{{"windows", *windows, &p.windows, maxBatch}, {"rates", *rates, &p.rates, 10_000_000}} {
		for word := range strings.SplitSeq(list.text, ",") {
			if word == "" {
				continue
			}
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 || n > list.high {
				errs = append(errs, fmt.Errorf("-%s: %s: want numbers of 1..%d", list.flag, word, list.high))
			}
			*list.into = append(*list.into, n)
		}
	}
	for _, limit := range []struct {
		flag             string
		value, low, high int
	}{
		{"rounds", p.rounds, 1, 100}, {"sockets", p.sockets, 1, 64}, {"networks", p.networks, 1, 1_000_000},
		{"duration in ms", int(p.duration.Milliseconds()), 100, 60_000},
	} {
		if limit.value < limit.low || limit.value > limit.high {
			errs = append(errs, fmt.Errorf("-%s: %d: want %d..%d", limit.flag, limit.value, limit.low, limit.high))
		}
	}
	if p.serverCore == p.loadCore {
		errs = append(errs, fmt.Errorf("-server-core %d is -load-core, too: want two cores", p.serverCore))
	}
	for set := range strings.SplitSeq(*sets, ",") {
		if !slices.Contains(all, set) {
			errs = append(errs, fmt.Errorf("-sets: %s: want some of %s", set, strings.Join(all, ",")))
		}
		p.sets = append(p.sets, set)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := p.makeDir(); err != nil {
		return nil, err
	}
	wanted := strings.Split(*names, ",")
	if *meridian == "" && slices.Contains(wanted, "meridian") {
		*meridian = filepath.Join(p.dir, "bin", "meridian")
		build := exec.CommandContext(ctx, "go", "build", "-o", *meridian, "github.com/meridian-gtm/meridian/cmd/meridian")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build meridian: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	known := servers(self, *meridian)
	for _, name := range wanted {
		i := slices.IndexFunc(known, func(s server) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-servers: %s: no such server", name)
		}
		path, err := known[i].path()
		if err != nil {
			fmt.Fprintln(os.Stderr, "left out:", err)
			continue
		}
		known[i].program = path
		p.servers = append(p.servers, known[i])
	}
	return p, nil
}

// makeDir makes p.dir a directory that servers which give up their rights can read, and absolute.
func (p *plan) makeDir() (err error) {
	if p.dir == "" {
		p.dir, err = os.MkdirTemp("", "meridian-bench-")
	} else if p.dir, err = filepath.Abs(p.dir); err == nil {
		err = os.MkdirAll(p.dir, 0o755)
	}
	if err != nil {
		return err
	}
	return os.Chmod(p.dir, 0o755)
}

// run measures and prints the tables.
func (p *plan) run(ctx context.Context) error {
	w := newWorld(p.dir, p.networks, 1)
	if err := w.write(); err != nil {
		return err
	}
	raw, err := os.Create(filepath.Join(p.dir, "results.tsv"))
	if err != nil {
		return err
	}
	defer raw.Close()
	fmt.Fprint(raw, tsvHeader)
	runtime.LockOSThread() // and stay there: only this thread asks
	if err := pin(p.loadCore); err != nil {
		return err
	}
	var results []measurement
	for round := 1; round <= p.rounds; round++ {
		for i := range p.servers {
			s := &p.servers[(i+round)%len(p.servers)] // nobody is always first
			err := p.measure(ctx, w, s, func(m measurement) {
				m.round = round
				results = append(results, m)
				fmt.Fprint(raw, m.tsv())
				fmt.Fprint(os.Stderr, m.tsv())
			})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	slices.SortStableFunc(results, func(a, b measurement) int { return p.place(a) - p.place(b) })
	writeTables(os.Stdout, results, "meridian")
	fmt.Fprintf(os.Stderr, "\nevery measurement: %s\n", raw.Name())
	return raw.Close()
}

// place orders measurements as servers and sets were asked for.
func (p *plan) place(m measurement) int {
	set, _, _ := strings.Cut(m.load, ",")
	server := slices.IndexFunc(p.servers, func(s server) bool { return s.name == m.server })
	return slices.Index(p.sets, set)*len(p.servers) + server
}

// measure starts one server, holds it under every load and stops it.
func (p *plan) measure(ctx context.Context, w *world, s *server, report func(measurement)) error {
	dir := filepath.Join(p.dir, s.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	args, err := s.setUp(w, dir, int(addr.Port()))
	if err != nil {
		return err
	}
	process, err := startProcess(p.serverCore, filepath.Join(dir, "log"), s.program, args...)
	if err != nil {
		return err
	}
	defer process.stop()
	if err := process.waitReady(func() bool { return ctx.Err() != nil || answers(addr) }); err != nil {
		return err
	}
	if s.name != "echo" {
		if err := w.check(addr, s.sets); err != nil {
			return err
		}
	}
	for _, set := range p.sets {
		if !slices.Contains(s.sets, set) {
			continue
		}
		l := load{server: addr, queries: w.sets[set], sockets: p.sockets}
		for _, window := range p.windows {
			l.window, l.rate = window, 0
			if err := p.hold(ctx, process, l, s.name, fmt.Sprintf("%s, full load, window %d", set, window), report); err != nil {
				return err
			}
		}
		for _, rate := range p.rates {
			l.window, l.rate = maxBatch, rate
			if err := p.hold(ctx, process, l, s.name, fmt.Sprintf("%s, %d QPS", set, rate), report); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold measures one load, after a moment of it that does not count.
func (p *plan) hold(ctx context.Context, process *process, l load, server, name string, report func(measurement)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.duration = 200 * time.Millisecond
	if _, err := l.run(); err != nil {
		return err
	}
	before, err := process.usage()
	if err != nil {
		return err
	}
	l.duration = p.duration
	r, err := l.run()
	if err != nil {
		return err
	}
	after, err := process.usage()
	if err != nil {
		return err
	}
	answered := float64(max(r.answered, 1))
	user, system := after.user-before.user, after.system-before.system
	report(measurement{
		server: server, load: name, qps: float64(r.answered) / r.elapsed.Seconds(),
		cpu: (user + system).Seconds() * 1e6 / answered, user: user.Seconds() * 1e6 / answered,
		p50: r.latency.quantile(0.50), p99: r.latency.quantile(0.99),
		sent: r.sent, missed: r.lost, memory: after.memory,
	})
	return nil
}

// answers reports whether a server answers at all.
func answers(addr netip.AddrPort) bool {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	defer conn.Close()
	answer, err := ask(conn, query("www.example.com", 1, netip.Addr{}))
	return err == nil && answer[3]&0xf == 0
}

// freeAddr returns an address of 127.0.0.1 whose port nobody has, for UDP and TCP.
func freeAddr() (netip.AddrPort, error) {
	for range 100 {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return netip.AddrPort{}, err
		}
		addr := listener.Addr().(*net.TCPAddr).AddrPort()
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
		listener.Close()
		if err == nil {
			conn.Close()
			return addr, nil
		}
	}
	return netip.AddrPort{}, errors.New("127.0.0.1: no port is free for UDP and TCP")
}
