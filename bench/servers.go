//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// server is one that can be measured.
type server struct {
	name    string
	program string   // looked for in PATH and in /usr/sbin
	sets    []string // that it can answer
	// setUp writes the configuration for a server on a port of 127.0.0.1 into dir and returns the arguments.
	setUp func(w *world, dir string, port int) ([]string, error)
}

var (
	static = []string{"www", "mix"}
	all    = []string{"www", "mix", "geo", "ecs"}
)

// servers returns all that are known. self is this program, meridian the one to measure.
func servers(self, meridian string) []server {
	return []server{
		{"meridian", meridian, all, setUpMeridian},
		{"knot", "knotd", static, setUpKnot},
		{"knot-geo", "knotd", all, setUpKnotGeo},
		{"gdnsd", "gdnsd", all, setUpGdnsd},
		{"nsd", "nsd", static, setUpNSD},
		// What the kernel alone costs: the query comes back as it is.
		{"echo", self, []string{"www", "ecs"}, func(_ *world, _ string, port int) ([]string, error) {
			return []string{"echo", fmt.Sprintf("127.0.0.1:%d", port)}, nil
		}},
	}
}

// path returns where the server's program is.
func (s *server) path() (string, error) {
	if path, err := exec.LookPath(s.program); err == nil {
		return filepath.Abs(path)
	}
	path := filepath.Join("/usr/sbin", s.program) // not in everybody's PATH
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: %s is not installed", s.name, s.program)
	}
	return path, nil
}

// setUpMeridian describes each region as two sites, answered together.
func setUpMeridian(w *world, dir string, port int) ([]string, error) {
	var sites, rules strings.Builder
	for i := range regions {
		for k, addr := range regionAddrs(i) {
			fmt.Fprintf(&sites, "  dc%d-%d: {datacenter: bench, vip: {v4: %s}}\n", i, k, addr)
		}
		fmt.Fprintf(&rules, "          - {match: label/dc%d, to: {round-robin: [dc%d-0, dc%d-1]}}\n", i, i, i)
	}
	file := filepath.Join(dir, "meridian.yaml")
	return []string{"serve", "--config", file}, writeFile(file, fmt.Sprintf(`node: {name: bench, datacenter: bench, data_dir: %s}
dns: {listen: ["127.0.0.1:%d"]}
gossip: {listen: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0"}
geo: {cidr_map: %s}
datacenters: {bench: {lat: 0, lon: 0}}
sites:
%sservices:
  geo:
    ttl: {min: 300s, max: 300s}
    policy:
      geo:
        rules:
%s        default: {round-robin: [dc0-0, dc0-1]}
zones:
  example.com: {file: %s, steer: {geo: geo}}
`, filepath.Join(dir, "data"), port, filepath.Join(w.dir, "networks.map"), &sites, &rules,
		filepath.Join(w.dir, "example.com.zone")))
}

func setUpKnot(w *world, dir string, port int) ([]string, error) { return knot(w, dir, port, "", "") }

func setUpKnotGeo(w *world, dir string, port int) ([]string, error) {
	return knot(w, dir, port, "    module: mod-geoip/geo\n", fmt.Sprintf(`mod-geoip:
  - id: geo
    mode: subnet
    ttl: 300
    config-file: %s
`, filepath.Join(w.dir, "knot-geo/networks")))
}

func knot(w *world, dir string, port int, zoneLines, module string) ([]string, error) {
	file := filepath.Join(dir, "knot.conf")
	return []string{"-c", file}, writeFile(file, fmt.Sprintf(`server:
    listen: 127.0.0.1@%d
    rundir: %s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    answer-rotation: on
    edns-client-subnet: on
log:
  - target: stderr
    any: warning
database:
    storage: %s
%szone:
  - domain: example.com
    file: %s
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
%s`, port, dir, dir, module, filepath.Join(w.dir, "example.com-geo.zone"), zoneLines))
}

func setUpGdnsd(w *world, dir string, port int) ([]string, error) {
	var names []string
	var addrs strings.Builder
	for i := range regions {
		names = append(names, fmt.Sprintf("dc%d", i))
		pair := regionAddrs(i)
		fmt.Fprintf(&addrs, "      dc%d => [ %s, %s ]\n", i, pair[0], pair[1])
	}
	// It looks for everything but this in the directory of the configuration.
	source := filepath.Join(w.dir, "gdnsd")
	for _, d := range []string{"run", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	return []string{"-c", source, "start"}, writeFile(filepath.Join(source, "config"), fmt.Sprintf(`options => {
  listen => { 127.0.0.1:%d => { udp_threads = 1, tcp_threads = 1 } }
  run_dir = %s
  state_dir = %s
}
plugins => { geoip => {
  maps => { networks => { datacenters => [ %s ], nets = networks } }
  resources => { geo => { map => networks, service_types = up, dcmap => {
%s  } } }
} }
`, port, filepath.Join(dir, "run"), filepath.Join(dir, "state"), strings.Join(names, ", "), &addrs))
}

func setUpNSD(w *world, dir string, port int) ([]string, error) {
	file := filepath.Join(dir, "nsd.conf")
	return []string{"-d", "-c", file}, writeFile(file, fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  username: ""
  zonesdir: %s
  xfrdir: %s
  xfrdfile: %s/xfrd.state
  zonelistfile: %s/zone.list
  pidfile: %s/nsd.pid
  logfile: %s/nsd.log
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  round-robin: yes
  minimal-responses: yes
remote-control:
  control-enable: no
zone:
  name: example.com
  zonefile: example.com-geo.zone
`, port, w.dir, dir, dir, dir, dir, dir))
}
