package compose

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/node"
)

const folder = "../../deploy/compose"

var regions = []string{"us-east", "eu-west", "ap-south"}

// load reads the file as `docker compose` does, with .env.
func load(t *testing.T, env []string, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "compose.yaml")},
		cli.WithEnv(env), cli.WithEnvFiles(), cli.WithDotEnv, cli.WithDefaultProfiles(profiles...))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// worlds are the ways to start it.
func worlds(t *testing.T) map[string]*types.Project {
	return map[string]*types.Project{
		"default":   load(t, nil),
		"postgres":  load(t, nil, "postgres"),
		"cockroach": load(t, nil, "cockroach"),
		"all":       load(t, nil, "*"),
		"moved":     load(t, []string{"DEMO_NET=10.77"}, "*"),
	}
}

func TestWhatRuns(t *testing.T) {
	for name, p := range worlds(t) {
		if p.Name != "meridian" {
			t.Errorf("%s: project %q: want meridian", name, p.Name)
		}
		want := []string{"bank", "traveler"}
		for _, r := range regions {
			want = append(want, r+"-dns", r+"-director-a", r+"-director-b", r+"-shop-1", r+"-shop-2")
			if name != "postgres" {
				want = append(want, r+"-cockroach")
			}
			if name != "cockroach" && name != "default" {
				want = append(want, r+"-db", r+"-etcd")
			}
		}
		want = append(want, "us-east-proxy", "eu-west-proxy")
		var have []string
		for _, s := range p.Services {
			if !onDemand(s) {
				have = append(have, s.Name)
			}
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(want, have) {
			t.Errorf("%s: runs\n%v: want\n%v", name, have, want)
		}
	}
}

// onDemand reports whether a container ends by itself.
func onDemand(s types.ServiceConfig) bool {
	return slices.Contains([]string{"prepare", "load", "check"}, s.Labels["meridian.role"])
}

func TestEveryContainerIsConfined(t *testing.T) {
	for name, p := range worlds(t) {
		for _, s := range p.Services {
			role := s.Labels["meridian.role"]
			fault := func(format string, args ...any) { t.Errorf("%s: %s: %s", name, s.Name, fmt.Sprintf(format, args...)) }
			user, add := "65532:65532", []string(nil)
			if role == "director" {
				user, add = "0:0", []string{"NET_ADMIN", "NET_RAW"}
			}
			if s.User != user {
				fault("user %q: want %s", s.User, user)
			}
			if !slices.Equal(s.CapAdd, add) || !slices.Equal(s.CapDrop, []string{"ALL"}) {
				fault("capabilities +%v -%v: want +%v -[ALL]", s.CapAdd, s.CapDrop, add)
			}
			if !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
				fault("security_opt %v: want no-new-privileges:true", s.SecurityOpt)
			}
			if !s.ReadOnly || s.Privileged || s.Pid != "" || s.Ipc != "" || s.UserNSMode != "" || len(s.Devices) > 0 {
				fault("not read_only, or privileged, or in a namespace of the host, or with devices")
			}
			if s.MemLimit <= 0 || s.MemLimit > 1<<30 || s.PidsLimit <= 0 {
				fault("memory %d, processes %d: want limits, of memory 1 GiB at most", s.MemLimit, s.PidsLimit)
			}
			if onDemand(s) != (s.HealthCheck == nil) {
				fault("health check %v: want one for what runs, none for what ends", s.HealthCheck)
			}
			switch role {
			case "dns", "director", "proxy", "shop", "db", "etcd":
				if r := s.Labels["meridian.region"]; !slices.Contains(regions, r) || !strings.HasPrefix(s.Name, r+"-") {
					fault("region %q: want the beginning of the name", r)
				}
			case "bank", "traveler", "load", "check", "prepare":
			default:
				fault("role %q: unknown", role)
			}
			for _, v := range s.Volumes {
				if v.Type != types.VolumeTypeVolume {
					fault("mounts %s %s: want only volumes: nothing of the host", v.Type, v.Source)
				}
			}
			if s.NetworkMode != "" && s.NetworkMode != "none" || s.NetworkMode == "" && len(s.Networks) == 0 {
				fault("network mode %q, %d networks", s.NetworkMode, len(s.Networks))
			}
			for key, value := range s.Environment {
				if value != nil && regexp.MustCompile(`(?i)password|secret|key`).MatchString(key) && !strings.HasPrefix(*value, "/") {
					fault("environment %s: want secrets in files", key)
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "docker.sock") {
		t.Error("compose.yaml mentions docker.sock")
	}
}

func TestNothingIsPublishedBeyondThisMachine(t *testing.T) {
	for name, p := range worlds(t) {
		taken := map[string]string{}
		for _, s := range p.Services {
			_, published := s.Networks["published"]
			if published != (len(s.Ports) > 0) {
				t.Errorf("%s: %s: in the network published %v, %d ports: want both or none", name, s.Name, published, len(s.Ports))
			}
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s: publishes %s on %q: want 127.0.0.1", name, s.Name, port.Published, port.HostIP)
				}
				at := port.Published + "/" + port.Protocol
				if taken[at] != "" {
					t.Errorf("%s: %s and %s publish %s", name, s.Name, taken[at], at)
				}
				taken[at] = s.Name
			}
		}
		for i, r := range regions {
			for _, protocol := range []string{"udp", "tcp"} {
				if at := fmt.Sprintf("530%d/%s", i+1, protocol); taken[at] != r+"-dns" {
					t.Errorf("%s: %s is %q: want %s-dns", name, at, taken[at], r)
				}
			}
		}
		if taken["8080/tcp"] != "traveler" {
			t.Errorf("%s: 8080/tcp is %q: want traveler", name, taken["8080/tcp"])
		}
		for key, n := range p.Networks {
			if n.Internal != (key != "published") {
				t.Errorf("%s: network %s: internal %v", name, key, n.Internal)
			}
			if key == "published" && (n.DriverOpts["com.docker.network.bridge.enable_ip_masquerade"] != "false" || n.DriverOpts["com.docker.network.bridge.enable_icc"] != "false") {
				t.Errorf("%s: network published is a way out or across: %v", name, n.DriverOpts)
			}
		}
	}
}

// addresses maps "network address" to the service that has it.
func addresses(t *testing.T, name string, p *types.Project) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range p.Services {
		for network, at := range s.Networks {
			pool := p.Networks[network].Ipam.Config[0]
			subnet, dynamic := netip.MustParsePrefix(pool.Subnet), netip.MustParsePrefix(pool.IPRange)
			addr, err := netip.ParseAddr(at.Ipv4Address)
			if err != nil {
				t.Errorf("%s: %s: no address in %s: %v", name, s.Name, network, err)
				continue
			}
			// The first address is the bridge's.
			if !subnet.Contains(addr) || dynamic.Contains(addr) || addr.As4()[3] < 2 {
				t.Errorf("%s: %s: %s in %s: want one of %s, and none of %s", name, s.Name, addr, network, subnet, dynamic)
			}
			key := network + " " + addr.String()
			if all[key] != "" {
				t.Errorf("%s: %s and %s have %s", name, s.Name, all[key], key)
			}
			all[key] = s.Name
		}
	}
	return all
}

func TestAddressesAreUnique(t *testing.T) {
	for name, p := range worlds(t) {
		addresses(t, name, p)
		var subnets []netip.Prefix
		for key, n := range p.Networks {
			subnet := netip.MustParsePrefix(n.Ipam.Config[0].Subnet)
			for _, other := range subnets {
				if other.Overlaps(subnet) {
					t.Errorf("%s: network %s: %s overlaps %s", name, key, subnet, other)
				}
			}
			subnets = append(subnets, subnet)
		}
	}
}

// TestDirectorsAreOnTheInternet: a director serves the VIP there, next to its region's network. It finds the interface by
// its address: Docker does not promise which network becomes eth0.
func TestDirectorsAreOnTheInternet(t *testing.T) {
	for _, s := range load(t, nil, "*").Services {
		if s.Labels["meridian.role"] == "director" && (len(s.Networks) != 2 || s.Networks["internet"] == nil || s.Networks[s.Labels["meridian.region"]] == nil) {
			t.Errorf("%s: want the internet and its region's network", s.Name)
		}
	}
}

// prepare is the program, built once.
var prepare string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "prepare")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	prepare = filepath.Join(dir, "prepare")
	build := exec.Command("go", "build", "-o", prepare, "./deploy/compose/prepare")
	build.Dir, build.Stderr = "../..", os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// prepared runs prepare for a world and returns its folder.
func prepared(t *testing.T, net string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{
		"--net", net, "--fleet", filepath.Join(dir, "fleet"), "--keys", filepath.Join(dir, "keys"),
		"--shop", filepath.Join(dir, "shop"), "--postgres", filepath.Join(dir, "postgres"),
	}
	for _, step := range [][]string{nil, {"--database", "postgres"}, nil} {
		if out, err := exec.CommandContext(t.Context(), prepare, append(slices.Clone(args), step...)...).CombinedOutput(); err != nil {
			t.Fatalf("prepare %v: %v\n%s", step, err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), prepare, append(args, "--database", "cockroach")...).CombinedOutput(); err == nil {
		t.Errorf("a world got a second database: %s", out)
	}
	return dir
}

// TestFilesAreOfTheSameWorld: the nodes' configuration is valid and means the containers of compose.yaml, and so does
// every other address in what prepare writes.
func TestFilesAreOfTheSameWorld(t *testing.T) {
	for _, net := range []string{"198.18", "10.77"} {
		p := load(t, []string{"DEMO_NET=" + net}, "*")
		at := addresses(t, net, p)
		dir := prepared(t, net)
		known := map[string]bool{}
		for key := range at {
			_, addr, _ := strings.Cut(key, " ")
			known[addr] = true
		}
		var hash string
		for i, r := range regions {
			file := filepath.Join(dir, "fleet", r+".yaml")
			summary, err := node.Check(file)
			if err != nil {
				t.Fatalf("%s: %v", r, err)
			}
			if len(summary.Warnings) > 0 || i > 0 && summary.Hash != hash {
				t.Errorf("%s: warnings %v, hash %s: want none, and %s as the others", r, summary.Warnings, summary.Hash, hash)
			}
			hash = summary.Hash
			c, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			want := func(network string, addr netip.Addr, service string) {
				t.Helper()
				if got := at[network+" "+addr.String()]; got != service {
					t.Errorf("%s: %s of %s is %q: want %s", file, addr, network, got, service)
				}
			}
			want("backbone", c.Gossip.Listen.Addr(), r+"-dns")
			if len(c.Witnesses) != 1 || at["internet "+c.Witnesses[0].Addr().String()] != "traveler" {
				t.Errorf("%s: witnesses %v: want the traveler", file, c.Witnesses)
			}
			for _, s := range c.Sites {
				known[s.V4.String()] = true
				if taken := at["internet "+s.V4.String()]; taken != "" {
					t.Errorf("%s: VIP %s is the address of %s too", file, s.V4, taken)
				}
				if subnet := netip.MustParsePrefix(p.Networks["internet"].Ipam.Config[0].Subnet); !subnet.Contains(s.V4) {
					t.Errorf("%s: VIP %s: want one of %s", file, s.V4, subnet)
				}
				d, ok := c.DirectorsOf(s.Name)
				if !ok {
					t.Fatalf("%s: no directors of %s", file, s.Name)
				}
				want("internet", d.A.Address, s.Name+"-director-a")
				want("internet", d.B.Address, s.Name+"-director-b")
				real := []string{s.Name + "-proxy"}
				if s.Name == "ap-south" {
					real = []string{s.Name + "-shop-1", s.Name + "-shop-2"}
				}
				if len(d.Real) != len(real) {
					t.Fatalf("%s: %d real servers of %s: want %v", file, len(d.Real), s.Name, real)
				}
				for i, service := range real {
					want(s.Name, d.Real[i].Address, service)
				}
			}
		}
		anywhere := regexp.MustCompile(regexp.QuoteMeta(net) + `\.[0-9]+\.[0-9]+(/[0-9]+)?`)
		check := func(where, text string) {
			for _, addr := range anywhere.FindAllString(text, -1) {
				if !known[addr] && addr != net+".0.0/16" && addr != net+".9.0/24" {
					t.Errorf("%s: %s is nobody's", where, addr)
				}
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil || len(files) < 20 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(file) != ".mmdb" {
				check(file, string(text))
			}
		}
		for _, s := range p.Services {
			for key, value := range s.Environment {
				if value != nil {
					check(s.Name+": "+key, *value)
				}
			}
			check(s.Name+": command", strings.Join(s.Command, " "))
		}
	}
}

func TestSecretsAreFreshAndClosed(t *testing.T) {
	one, other := prepared(t, "198.18"), prepared(t, "198.18")
	secrets := []string{"keys/gossip.keys", "shop/bank.secret", "shop/pgpass", "postgres/shop.password", "postgres/superuser.password", "postgres/replication.password", "postgres/us-east.patroni"}
	for _, name := range secrets {
		info, err := os.Stat(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %o: want 600", name, info.Mode().Perm())
		}
		a, _ := os.ReadFile(filepath.Join(one, name))
		b, _ := os.ReadFile(filepath.Join(other, name))
		if len(a) < 32 || string(a) == string(b) {
			t.Errorf("%s: the same in two worlds", name)
		}
	}
	password, err := os.ReadFile(filepath.Join(one, "postgres/shop.password"))
	if err != nil {
		t.Fatal(err)
	}
	pgpass, _ := os.ReadFile(filepath.Join(one, "shop/pgpass"))
	if !strings.Contains(string(pgpass), string(password)) {
		t.Error("the shops know another password than the database")
	}
}

func TestImagesAreBuiltOnceAndFromPublicBases(t *testing.T) {
	built := map[string]string{}
	for _, s := range load(t, nil, "*").Services {
		if s.Build == nil {
			continue
		}
		if built[s.Image] != "" {
			t.Errorf("%s and %s build %s", s.Name, built[s.Image], s.Image)
		}
		built[s.Image] = s.Name
		for arg, want := range map[string]string{"GOLANG_IMAGE": "golang:1.26-bookworm", "DEBIAN_IMAGE": "debian:bookworm-slim"} {
			if got := s.Build.Args[arg]; got == nil || *got != want {
				t.Errorf("%s: %s is %v: want %s", s.Name, arg, got, want)
			}
		}
	}
	for _, profile := range []string{"postgres", "cockroach"} {
		p := load(t, nil, profile)
		for _, s := range p.Services {
			if strings.HasPrefix(s.Image, "meridian-demo/") {
				if _, err := p.GetService(built[s.Image]); err != nil {
					t.Errorf("profile %s: nobody builds %s of %s", profile, s.Image, s.Name)
				}
			} else if s.Image != "cockroachdb/cockroach:v26.2.0" {
				t.Errorf("%s: image %s: want one of this project, or CockroachDB's", s.Name, s.Image)
			}
		}
	}
	if len(built) != 4 {
		t.Errorf("%d images: want 4: %v", len(built), built)
	}
}
