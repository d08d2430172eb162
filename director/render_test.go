package director

import (
	"context"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-gtm/meridian/config"
)

var update = flag.Bool("update", false, "write the golden files of this package")

func load(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load("testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rendered is every golden file and what writes it.
func rendered(t *testing.T) map[string]string {
	t.Helper()
	c := load(t)
	out := map[string]string{}
	keep := func(file, text string, err error) {
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[file] = text
	}
	for _, site := range []string{"lvs", "plain", "proxied", "six"} {
		for _, which := range []string{"a", "b"} {
			text, err := Keepalived(c, site, which)
			keep(site+"-"+which+".keepalived.conf", text, err)
		}
	}
	text, err := HAProxy(c, "proxied")
	keep("proxied.haproxy.cfg", text, err)
	return out
}

func TestRender(t *testing.T) {
	for file, got := range rendered(t) {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", file, d)
		}
	}
}

// TestTheRealProgramsAccept has keepalived and haproxy read what was rendered.
func TestTheRealProgramsAccept(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for file, text := range rendered(t) {
		program, args := "keepalived", []string{"--config-test", "--use-file"}
		if strings.HasSuffix(file, "haproxy.cfg") {
			program, args = "haproxy", []string{"-c", "-f"}
		}
		t.Run(file, func(t *testing.T) {
			bin := locate(program)
			if bin == "" {
				t.Skipf("%s is not installed", program)
			}
			path := filepath.Join(t.TempDir(), file)
			// The interfaces of the example need not be on this machine; VRRP takes no loopback.
			device := ethernet()
			if device == "" && program == "keepalived" {
				t.Skip("this machine has no interface but loopback")
			}
			text = strings.NewReplacer("eth0", device, "bond0.100", device).Replace(text)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(ctx, bin, append(args, path)...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", program, err, out)
			}
			if words := strings.ToLower(string(out)); strings.Contains(words, "warning") || strings.Contains(words, "unknown keyword") {
				t.Errorf("%s warns:\n%s", program, out)
			}
		})
	}
}

// ethernet is the first interface that is up and not loopback.
func ethernet() string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return i.Name
		}
	}
	return ""
}

// locate finds a program that may be where only root looks.
func locate(program string) string {
	for _, path := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if bin, err := exec.LookPath(path); err == nil {
			return bin
		}
	}
	return ""
}

func TestWhatCannotBeRendered(t *testing.T) {
	c := load(t)
	for name, tt := range map[string]struct {
		render func() (string, error)
		want   string
	}{
		"no such site":       {func() (string, error) { return Keepalived(c, "nowhere", "a") }, `site "nowhere": want one of bare, lvs, plain, proxied, six`},
		"no directors":       {func() (string, error) { return Keepalived(c, "bare", "a") }, "sites.bare.directors: missing: want the directors of the site"},
		"no such director":   {func() (string, error) { return Keepalived(c, "lvs", "c") }, `director "c": want a or b`},
		"haproxy of an LVS":  {func() (string, error) { return HAProxy(c, "lvs") }, "sites.lvs.directors.mode: ipvs: want haproxy"},
		"haproxy of nothing": {func() (string, error) { return HAProxy(c, "bare") }, "sites.bare.directors: missing: want the directors of the site"},
	} {
		if text, err := tt.render(); err == nil || err.Error() != tt.want || text != "" {
			t.Errorf("%s: %q, %v: want %s", name, text, err, tt.want)
		}
	}
}
