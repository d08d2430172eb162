//go:build unix

package dbtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// script makes and runs a server until its standard input ends. That is when the test process stops it, and also when
// the test process dies: nothing is left behind.
const script = `
set -eu
"$BIN/initdb" --pgdata="$DIR/data" --username=shop --auth=trust --encoding=UTF8 --locale=C --no-sync >"$DIR/initdb.log" 2>&1 || { cat "$DIR/initdb.log" >&2; exit 1; }
"$BIN/postgres" -D "$DIR/data" -k "$DIR" -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=32MB >"$DIR/postgres.log" 2>&1 </dev/null &
server=$!
cat >/dev/null || true
kill -INT "$server" 2>/dev/null || true
wait "$server" || true
rm -rf "$DIR/data"
`

// FindPostgres returns the folder of PostgreSQL's programs, the newest where there are several; "" = none.
func FindPostgres() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian; the pattern is well formed
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[0])
}

// startPostgres runs a server on a socket in a folder of its own. PostgreSQL refuses to run as root: then it runs as
// somebody who may do nothing else.
func startPostgres() *server {
	bin := FindPostgres()
	if bin == "" {
		return &server{skip: "no initdb on this machine (Debian: apt-get install postgresql)"}
	}
	dir, err := os.MkdirTemp("", "shop-postgres-")
	if err != nil {
		return &server{err: err}
	}
	fail := func(err error) *server {
		return &server{err: errors.Join(fmt.Errorf("postgres: %w", err), os.RemoveAll(dir))}
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = []string{"BIN=" + bin, "DIR=" + dir, "PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if os.Geteuid() == 0 {
		who, err := somebody()
		if err != nil {
			return fail(err)
		}
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return fail(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fail(err)
	}
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s := &server{
		url:  "postgres:///%s?user=shop&host=" + strings.ReplaceAll(url.QueryEscape(dir), "%", "%%"),
		stop: func() { stop(stdin, ended, dir) },
	}
	if err := answers(fmt.Sprintf(s.url, "postgres"), ended); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "postgres.log"))
		s.stop()
		return &server{err: fmt.Errorf("postgres: %w\n%s%s", err, stderr.String(), log)}
	}
	return s
}

// somebody is a user who is not root.
func somebody() (*syscall.Credential, error) {
	var faults []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err, errGID); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.Join(faults...)
}

// stop ends a script that waits for the end of its input.
func stop(stdin io.Closer, ended chan error, dir string) {
	stdin.Close()
	select {
	case <-ended:
	case <-time.After(startTimeout):
	}
	os.RemoveAll(dir)
}
