package compose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gtm/meridian/drill"
)

// Witness returns the shop's own customers, who are on the internet and in no region, and the shop's own proof, which a
// shop outside the site that breaks gives. Nil = there is no shop.
func (w *World) Witness(target string) (*drill.Witness, error) {
	shops := slices.DeleteFunc(w.having("", "shop"), func(p part) bool { return p.region == target })
	if len(shops) == 0 {
		return nil, nil
	}
	var targets, regions []string
	for _, n := range w.fleet.Nodes {
		if vip := w.vips[n.Site]; vip.IsValid() {
			targets, regions = append(targets, "--target", "http://"+vip.String()), append(regions, n.Site)
		}
	}
	var internet string
	for _, p := range w.having("", "director") {
		if name, ok := p.networkOf(w.vips[p.region]); ok {
			internet = name
		}
	}
	if internet == "" {
		return nil, fmt.Errorf("no director is in the network of its VIP")
	}
	shop := shops[0]
	watch := []string{
		string(w.docker), "run", "--rm", "--network", internet, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--memory", "128m", "--pull", "never", "--entrypoint", shop.program, shop.image,
		// Should nobody be left to end it, it ends by itself.
		"load", "--log", "-", "--for", drill.MaxFor.String(), "--regions", strings.Join(regions, ","),
	}
	return &drill.Witness{
		Watch: append(watch, targets...),
		Check: []string{string(w.docker), "exec", "--interactive", shop.id, shop.program, "check", "--acked", "-", "--settle", "60s", "--json"},
	}, nil
}
