package compose

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/drill"
)

// Options say where the containers are.
type Options struct {
	Docker  string // program; default "docker"
	Project string // default "meridian"
}

// World implements [drill.World].
type World struct {
	docker docker
	parts  []part
	vips   map[string]netip.Addr // by region
	apis   map[string]*control.Client
	fleet  drill.Fleet
	pace   drill.Pace
	filter error // why no packets can be filtered here; nil = they can
	made   map[string]fault
}

// fault is what has to be undone.
type fault struct {
	stopped []part // killed or paused
	back    []string
	rescue  *rescue
	fences  []fenced
	slow    time.Duration // what the fences send on is late by this
}

// fenced is a container with a filter in its network.
type fenced struct {
	part  part
	fence fence
}

// Kinds are the faults that containers can have where packets can be filtered. Left out are those that want another file in a
// container (its keyring, its configuration), a full disk or a clock of its own.
func Kinds() []drill.Kind {
	return append(kills(), drill.CutPath, drill.CutGossip, drill.Lossy, drill.Errors, drill.Slow)
}

func kills() []drill.Kind {
	return []drill.Kind{drill.Lose, drill.KillDirector, drill.KillNode, drill.PauseNode, drill.KillData}
}

// boots is how long the shops, proxies and directors of a region take, one after the other, until the VIP answers.
const boots = 10 * time.Second

// Boots is how long containers take to work again after a fault that kills them.
func (w *World) Boots(k drill.Kind) time.Duration {
	if k == drill.PauseNode || !slices.Contains(kills(), k) {
		return 0
	}
	return boots
}

// Open looks at the containers of a project and asks their nodes what they hold true.
func Open(ctx context.Context, o Options) (*World, error) {
	if o.Docker == "" {
		o.Docker = "docker"
	}
	if o.Project == "" {
		o.Project = "meridian"
	}
	w := &World{docker: docker(o.Docker), vips: map[string]netip.Addr{}, apis: map[string]*control.Client{}, made: map[string]fault{}}
	list, err := w.docker.call(ctx, "", "ps", "--all", "--quiet", "--no-trunc", "--filter", "label=com.docker.compose.project="+o.Project, "--filter", "label=meridian.region")
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(list)
	if len(ids) == 0 {
		return nil, fmt.Errorf("no containers of project %s", o.Project)
	}
	found, err := w.docker.call(ctx, "", append([]string{"inspect", "--type", "container"}, ids...)...)
	if err != nil {
		return nil, err
	}
	if w.parts, err = readParts([]byte(found)); err != nil {
		return nil, err
	}
	var faults []error
	for _, p := range w.parts {
		if len(p.networks) == 0 {
			faults = append(faults, fmt.Errorf("container %s does not run", p.name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if err := w.ask(ctx); err != nil {
		return nil, err
	}
	w.filter = w.tryFilter(ctx)
	return w, nil
}

// ask makes the fleet of what the dns containers and their nodes say.
func (w *World) ask(ctx context.Context) error {
	for _, p := range w.having("", "dns") {
		if !p.dns.IsValid() {
			return fmt.Errorf("container %s: port 53/udp is published nowhere: want it on an address of this machine", p.name)
		}
		api := w.docker.api(p)
		s, err := api.Status(ctx)
		if err != nil {
			return err
		}
		w.apis[p.region] = api
		w.fleet.Nodes = append(w.fleet.Nodes, drill.Node{Name: s.Node, Site: s.Datacenter, DNS: p.dns, API: api})
		for _, site := range s.Sites {
			w.vips[site.Site] = site.V4
		}
		if w.fleet.Name == "" {
			w.fleet.Name, w.pace = p.labels["meridian.name"], drill.Pace(p.labels["meridian.pace"])
			if text := p.labels["meridian.clients"]; text != "" {
				if w.fleet.Clients, err = readClients(text); err != nil {
					return fmt.Errorf("container %s: %w", p.name, err)
				}
			}
		}
	}
	if len(w.fleet.Nodes) == 0 {
		return errors.New("no container has the label meridian.role=dns")
	}
	return nil
}

// tryFilter makes every filter once, in a network of its own that is gone at once.
func (w *World) tryFilter(ctx context.Context) error {
	directors := w.having("", "director")
	if len(directors) == 0 {
		return errors.New("no director, whose image has nft")
	}
	f := fence{table: "meridian_try", match: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})}, lasts: time.Second}
	f.rules = slices.Concat(cut, lossy(1), refusing, delayed)
	return w.docker.within(ctx, "none", directors[0].image, f.text(), "nft", "--file", "-")
}

// Fleet returns the nodes, at the addresses where they are published on this machine, and what the labels ask for.
func (w *World) Fleet() drill.Fleet { return w.fleet }

// Pace returns what the labels say of the fleet's pace; "" = nothing.
func (w *World) Pace() drill.Pace { return w.pace }

// Limits says what cannot be broken here although containers can be broken so; "" = nothing.
func (w *World) Limits() string {
	if w.filter == nil {
		return ""
	}
	return fmt.Sprintf("packets cannot be filtered, so paths cannot be cut: %v", w.filter)
}

// Name implements [drill.World].
func (w *World) Name() string { return "compose" }

// Can implements [drill.World].
func (w *World) Can() []drill.Kind {
	if w.filter != nil {
		return kills()
	}
	return Kinds()
}

// Inject implements [drill.World].
func (w *World) Inject(ctx context.Context, f drill.Fault) (drill.Injection, error) {
	id := strings.ToLower(rand.Text()[:8])
	in := drill.Injection{ID: id, Fault: f, At: time.Now()}
	made, err := w.plan(ctx, id, f)
	if err != nil {
		return in, err
	}
	w.made[id] = made
	if err := w.inflict(ctx, &made, f); err != nil {
		w.made[id] = made
		return in, errors.Join(err, w.Heal(context.WithoutCancel(ctx), in))
	}
	w.made[id] = made
	return in, nil
}

// plan finds the containers that a fault is for.
func (w *World) plan(ctx context.Context, id string, f drill.Fault) (made fault, err error) {
	fencing := func(parts []part, match []netip.Addr, rules []rule) {
		for _, p := range parts {
			made.fences = append(made.fences, fenced{p, fence{table: "meridian_drill_" + id, match: match, lasts: f.For, rules: rules}})
		}
	}
	vip := []netip.Addr{w.vips[f.Site]}
	switch f.Kind {
	case drill.Lose:
		made.stopped = w.having(f.Site, "shop", "proxy", "director")
	case drill.KillData:
		made.stopped = w.having(f.Site, "etcd", "db")
	case drill.KillNode, drill.PauseNode:
		made.stopped = w.having(f.Site, "dns")
	case drill.KillDirector:
		made.stopped, err = w.holder(ctx, f.Site)
	case drill.CutPath:
		fencing(w.having(f.Site, "dns"), []netip.Addr{w.vips[f.To]}, unreachable)
	case drill.CutGossip:
		// Each node is cut off from the others at both ends: it does not matter who speaks first.
		for _, p := range w.having("", "dns") {
			var match []netip.Addr
			for _, other := range w.having("", "dns") {
				if p.region != other.region && f.Between(p.region, other.region) {
					match = append(match, other.addresses()...)
				}
			}
			if len(match) > 0 {
				fencing([]part{p}, match, cut)
			}
		}
	case drill.Lossy:
		fencing(w.having(f.Site, "director"), vip, lossy(f.Percent))
	case drill.Slow:
		fencing(w.having(f.Site, "director"), vip, delayed)
		made.slow = f.Delay
	case drill.Errors:
		fencing(w.having(f.Site, "director"), vip, refusing)
	default:
		err = fmt.Errorf("fault %s: want one of %v", f.Kind, w.Can())
	}
	for _, fence := range made.fences {
		if slices.ContainsFunc(fence.fence.match, func(a netip.Addr) bool { return !a.Is4() }) {
			err = fmt.Errorf("fault %s: no VIP of site %s or %s is known", f.Kind, f.Site, f.To)
		}
	}
	if err == nil && len(made.stopped)+len(made.fences) == 0 {
		err = fmt.Errorf("fault %s: there is no container for it at site %s", f.Kind, f.Site)
	}
	return made, err
}

// inflict does what is planned.
func (w *World) inflict(ctx context.Context, made *fault, f drill.Fault) (err error) {
	if len(made.stopped) > 0 {
		down := "kill"
		made.back = []string{"start"}
		if f.Kind == drill.PauseNode {
			down, made.back = "pause", []string{"unpause"}
		}
		made.back = append(made.back, names(made.stopped)...)
		if made.rescue, err = w.docker.rescueAfter(f.For, made.back...); err != nil {
			return err
		}
		_, err = w.docker.call(ctx, "", append([]string{down}, names(made.stopped)...)...)
		return err
	}
	return each(made.fences, func(x fenced) error {
		if made.slow > 0 {
			if err := w.delay(ctx, x, made.slow); err != nil {
				return err
			}
		}
		return w.nft(ctx, x.part, x.fence.text())
	})
}

// delay starts what passes connections on late, beside a director. It ends by itself a little after the filter sends it nothing
// more.
func (w *World) delay(ctx context.Context, x fenced, d time.Duration) error {
	_, err := w.docker.call(ctx, "", "run", "--detach", "--rm", "--name", x.delayer(), "--network", "container:"+x.part.id, "--user", "65532:65532",
		"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "64m", "--pull", "never", "--entrypoint", "meridian",
		x.part.image, "drill", "delay", "--listen", fmt.Sprintf("0.0.0.0:%d", delayPort), "--delay", d.String(), "--for", (x.fence.lasts + 5*time.Second).String())
	if err != nil {
		return fmt.Errorf("container %s: %w", x.part.name, err)
	}
	return nil
}

// delayer names the container that delays.
func (x fenced) delayer() string { return x.fence.table + "_" + x.part.name }

// Heal implements [drill.World].
func (w *World) Heal(ctx context.Context, in drill.Injection) error {
	made, ok := w.made[in.ID]
	if !ok {
		return nil
	}
	delete(w.made, in.ID)
	if made.rescue != nil {
		made.rescue.dismiss()
		_, err := w.docker.call(ctx, "", made.back...)
		if err != nil && strings.Contains(err.Error(), "is not paused") {
			return nil // it has healed by itself
		}
		return err
	}
	return each(made.fences, func(x fenced) error {
		err := w.nft(ctx, x.part, x.fence.gone())
		if made.slow > 0 {
			if _, gone := w.docker.call(ctx, "", "rm", "--force", x.delayer()); gone != nil && !strings.Contains(gone.Error(), "No such container") {
				err = errors.Join(err, gone)
			}
		}
		return err
	})
}

// nft has a filter read in the network of a container.
func (w *World) nft(ctx context.Context, p part, text string) error {
	if err := w.docker.within(ctx, "container:"+p.id, w.having("", "director")[0].image, text, "nft", "--file", "-"); err != nil {
		return fmt.Errorf("container %s: %w", p.name, err)
	}
	return nil
}

// holder returns the director that has the site's VIP.
func (w *World) holder(ctx context.Context, site string) ([]part, error) {
	var found []part
	for _, p := range w.having(site, "director") {
		out, err := w.docker.call(ctx, "", "exec", p.id, "ip", "-oneline", "-4", "address", "show")
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", p.name, err)
		}
		if strings.Contains(out, " "+w.vips[site].String()+"/") {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no director of site %s has its VIP %s", site, w.vips[site])
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("%s all have the VIP %s of site %s: they do not hear each other's adverts", strings.Join(names(found), " and "), w.vips[site], site)
}

// having returns the containers of a site with one of the roles; site "" = of every site.
func (w *World) having(site string, roles ...string) (found []part) {
	for _, p := range w.parts {
		if (site == "" || p.region == site) && slices.Contains(roles, p.role) {
			found = append(found, p)
		}
	}
	return found
}

func names(parts []part) (all []string) {
	for _, p := range parts {
		all = append(all, p.name)
	}
	return all
}

// each does something for all at once.
func each(all []fenced, do func(fenced) error) error {
	var group sync.WaitGroup
	faults := make([]error, len(all))
	for i, x := range all {
		group.Go(func() { faults[i] = do(x) })
	}
	group.Wait()
	return errors.Join(faults...)
}
