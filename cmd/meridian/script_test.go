package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meridian": main})
}

// patience is how long a condition of a script may take to come true on a busy machine.
const patience = 30 * time.Second

// The scripts run this program as processes of their own. Beside what testscript offers they have:
//
//	expand IN OUT                      copy a file with $VAR replaced
//	exits CODE COMMAND...              run a command that must exit with the code
//	waitfor PATTERN COMMAND...         run a command again and again until its output matches
//	answers ADDR NAME IP [WITHIN]      wait until the server answers the name's A with the address
//	signal NAME N                      send a signal to the Nth background command, from 1
//	json stdout|FILE                   one or more JSON values
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"DNS1", "API1", "GOSSIP1", "DNS2", "API2", "GOSSIP2"} {
				addr, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, addr)
			}
			e.Setenv("MERIDIAN_API", "http://"+e.Getenv("API1"))
			e.Setenv("MERIDIAN_WHO", "ana")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // of the many short commands none races at its end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": expand, "exits": exits, "waitfor": waitFor, "answers": answers, "signal": signalTo, "json": validJSON,
		},
	})
}

// freePort returns a loopback address that is free for UDP and TCP. It is below the range from which the system takes
// ports by itself, so that it stays free until a node binds it.
func freePort() (string, error) {
	for range 100 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(10_000+rand.IntN(20_000)))
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			continue
		}
		u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
		l.Close()
		if err == nil {
			u.Close()
			return addr.String(), nil
		}
	}
	return "", errors.New("no port is free for UDP and TCP")
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expand IN OUT")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s exits %d: want %s", args[1], code, args[0])
	}
}

// poll asks until ok is content.
func poll(ts *testscript.TestScript, what string, ok func() error) {
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		<-ticker.C
	}
}

func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor PATTERN COMMAND...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	poll(ts, strings.Join(args[1:], " "), func() error {
		_ = ts.Exec(args[1], args[2:]...) // the command may fail until the node is there
		if out := ts.ReadFile("stdout") + ts.ReadFile("stderr"); !want.MatchString(out) {
			return fmt.Errorf("no %q in %s", args[0], out)
		}
		return nil
	})
}

func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 && len(args) != 4 {
		ts.Fatalf("usage: answers ADDR NAME IP [WITHIN]")
	}
	begin := time.Now()
	poll(ts, "answer for "+args[1], func() error { return ask(args[0], args[1], args[2]) })
	took := time.Since(begin)
	ts.Logf("answered after %v", took)
	if len(args) == 4 {
		within, err := time.ParseDuration(args[3])
		ts.Check(err)
		if took > 5*within { // a machine that is short of breath is given more
			ts.Fatalf("answered after %v: want %v", took, within)
		}
	}
}

// ask sends a query for an A record with its own few lines of DNS, so that the command depends on no DNS library.
func ask(server, name, want string) error {
	query := []byte{0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		query = append(append(query, byte(len(label))), label...)
	}
	query = append(query, 0, 0, 1, 0, 1)
	conn, err := net.Dial("udp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(query); err != nil {
		return err
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	// Answer records follow the question: a name as a pointer, type, class, TTL, length, address.
	rest := answer[min(len(query), n):n]
	if n < len(query) || answer[3]&0xf != 0 || answer[7] == 0 || len(rest) < 16 {
		return fmt.Errorf("rcode %d, %d answers", answer[3]&0xf, answer[7])
	}
	if addr, _ := netip.AddrFromSlice(rest[12:16]); addr.String() != want {
		return fmt.Errorf("%s is %s: want %s", name, addr, want)
	}
	return nil
}

func signalTo(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	if neg || len(args) != 2 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal HUP|TERM|KILL N")
	}
	n, err := strconv.Atoi(args[1])
	running := ts.BackgroundCmds()
	if err != nil || n < 1 || n > len(running) {
		ts.Fatalf("signal: %s: want 1..%d", args[1], len(running))
	}
	ts.Check(running[n-1].Process.Signal(signals[args[0]]))
}

func validJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: json stdout|FILE")
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	for n := 0; ; n++ {
		var v any
		if err := dec.Decode(&v); err != nil {
			if n == 0 || dec.More() {
				ts.Fatalf("%s: value %d is no JSON: %v", args[0], n+1, err)
			}
			return
		}
	}
}
